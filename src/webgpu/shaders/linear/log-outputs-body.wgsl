//! use output-tile
// Outputs of a chunk: o_i = sum_j A_ij v_j + sum_s scale_i[level of s] q_i S_s, over the states S_s of chunks of the call before it, by the
// bits of its number, and the slots of the initial state.
//
//   left     f32 [chunks][64 + kp][64]   of log-prepare: A transposed, then the queries
//   v        any storage [B, T, HV, V]
//   states   f32 [slots][HV][kp][vp]     of log-tree
//   decays   f32 [slots][HV][4]          of log-sums
//   stateIn  f32 [N, HV, slotsIn, K, V]
//   o        f32 [B, T, HV, V]
//
// Group: 64 columns of a chunk and head, 128 threads; a thread has 8 x 4 outputs. Guo 2025.

const NODES = 24u;
const INITIALS = 30u;

// the sequence's tokens before the call, its first slot, the chunk's number; 0xffffffff in a free slot
var<workgroup> wanted: array<u32, 3>;

fn scaleAt(c: Chunk, head: u32, i: u32, level: u32) -> f32 {
  if (!has(c, i)) { return 0.0; }
  let row = c.batch * p.levelScalesStrideB + (c.start + i32(i)) * p.levelScalesStrideT + i32(head) * p.levelScalesStrideH;
  return loadF(p.levelScales + (u32(row) + level) * 4u);
}

fn finished(tile: OutputTile, i: u32, products: vec4f) -> vec4f { return products; }

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let tile = outputTile(group, t);
  let c = tile.c;
  let head = tile.head;
  let v = tile.v;
  let heads = u32(p.heads);
  let slot = p.slot + tile.chunk / heads;
  if (t == 0u) {
    let tokens = positionsOf(c.sequence);
    let first = slotsOf(c.sequence).x;
    wanted[0] = tokens.x;
    wanted[1] = first;
    wanted[2] = select(tokens.x / CHUNK + slot - first, 0xffffffffu, c.low >= c.high);
  }
  let here = workgroupUniformLoad(&wanted);
  let before = here[0];
  let number = here[2];
  if (number == 0xffffffffu) { return; }
  let firstNumber = before / CHUNK;
  // gates from the first token of the call to the chunk before
  var past = vec2f();
  if (number > firstNumber) { past = loadF4(p.decays + ((slot - 1u) * heads + head) * 16u).zw; }

  let dv = u32(p.dv);
  let dk = u32(p.dk);
  let row = t / 16u;
  let i = t % 16u * 4u;
  for (var operand = 0u; operand <= NODES + INITIALS; operand += 1u) {
    var factors = vec4f(1.0);
    var state = 0u;
    var rows = p.kp;
    let isNode = operand > 0u && operand <= NODES;
    if (operand == 0u) {
      rows = CHUNK;
    } else if (isNode) {
      let bit = operand - 1u;
      let end = (number >> bit) << bit;
      if (((number >> bit) & 1u) == 0u || end <= firstNumber) { continue; }
      let at = (here[1] + end - 1u - firstNumber) * heads + head;
      let sum = past - loadF4(p.decays + at * 16u).zw;
      let level = bit + 7u;
      factors = decay4(vec4f(sum.x + sum.y)) * vec4f(
        scaleAt(c, head, i, level),
        scaleAt(c, head, i + 1u, level),
        scaleAt(c, head, i + 2u, level),
        scaleAt(c, head, i + 3u, level),
      );
      state = p.states + at * p.stateBytes;
    } else {
      let bit = operand - 1u - NODES;
      if (((before >> bit) & 1u) == 0u) { continue; }
      let first = ((before >> bit) ^ 1u) << bit;
      let position = number * CHUNK + i;
      factors = decay4(vec4f(past.x)) * (1.0 + past.y) * vec4f(
        scaleAt(c, head, i, 1u + levelOf(first, position)),
        scaleAt(c, head, i + 1u, 1u + levelOf(first, position + 1u)),
        scaleAt(c, head, i + 2u, 1u + levelOf(first, position + 2u)),
        scaleAt(c, head, i + 3u, 1u + levelOf(first, position + 3u)),
      );
      state = ((c.sequence * heads + head) * u32(p.slotsIn) + bit) * dk * dv;
    }
    let rowsAt = tile.left + select(CHUNK * 256u, 0u, operand == 0u);
    for (var r0 = 0u; r0 < rows; r0 += 16u) {
      let la = loadF4(rowsAt + r0 * 256u + t * 16u) * factors;
      let lb = loadF4(rowsAt + r0 * 256u + t * 16u + 2048u) * factors;
      var ra = vec4f();
      var rb = vec4f();
      let ja = r0 + row;
      let jb = ja + 8u;
      if (operand == 0u) {
        ra = valueRow(c, tile.vFirst, ja, v);
        rb = valueRow(c, tile.vFirst, jb, v);
      } else if (isNode) {
        if (v < p.vp) {
          ra = loadF4(state + (ja * p.vp + v) * 4u);
          rb = loadF4(state + (jb * p.vp + v) * 4u);
        }
      } else {
        if (ja < dk) { ra = row4(0, p.stateIn, i32(state + ja * dv), v, dv); }
        if (jb < dk) { rb = row4(0, p.stateIn, i32(state + jb * dv), v, dv); }
      }
      shareTerms(t, la, lb, ra, rb);
      addProducts(t);
    }
  }
  writeOutputs(tile, t);
}
