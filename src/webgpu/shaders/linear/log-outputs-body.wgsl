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

var<workgroup> ls: array<vec4f, 256>;
var<workgroup> rs: array<vec4f, 256>;
// the sequence's tokens before the call, its first slot, the chunk's number; 0xffffffff in a free slot
var<workgroup> wanted: array<u32, 3>;

fn scaleAt(c: Chunk, head: u32, i: u32, level: u32) -> f32 {
  if (!has(c, i)) { return 0.0; }
  let row = c.batch * p.levelScalesStrideB + (c.start + i32(i)) * p.levelScalesStrideT + i32(head) * p.levelScalesStrideH;
  return loadF(p.levelScales + (u32(row) + level) * 4u);
}

struct Place {
  c: Chunk,
  v: u32,
  // elements before the row of the chunk's first token
  first: i32,
}

// Writes four columns of row i.
fn emit(place: Place, i: u32, x: vec4f) {
  if (!has(place.c, i)) { return; }
  let row = u32(place.first + i32(i) * p.oStrideT);
  put4(p.o + (row + place.v) * 4u, 4u, x, min(4u, u32(p.dv) - place.v));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let tiles = (p.vp + 63u) / 64u;
  let chunk = group / tiles;
  let column = (group - chunk * tiles) * 64u;
  let heads = u32(p.heads);
  let head = chunk % heads;
  let slot = p.slot + chunk / heads;
  let c = chunkAt(slot);
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
  let left = p.left + chunk * (CHUNK + p.kp) * 256u;
  let vFirst = c.batch * p.vStrideB + c.start * p.vStrideT + i32(head) * p.vStrideH;
  let quad = t % 16u;
  let token = t / 16u;
  let v = column + quad * 4u;
  let i = quad * 4u;
  var o0 = vec4f();
  var o1 = vec4f();
  var o2 = vec4f();
  var o3 = vec4f();
  var o4 = vec4f();
  var o5 = vec4f();
  var o6 = vec4f();
  var o7 = vec4f();
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
    let rowsAt = left + select(CHUNK * 256u, 0u, operand == 0u);
    for (var r0 = 0u; r0 < rows; r0 += 16u) {
      let la = loadF4(rowsAt + r0 * 256u + t * 16u) * factors;
      let lb = loadF4(rowsAt + r0 * 256u + t * 16u + 2048u) * factors;
      var ra = vec4f();
      var rb = vec4f();
      let ja = r0 + token;
      let jb = ja + 8u;
      if (operand == 0u) {
        if (has(c, ja)) { ra = row4(p.vType, p.v, vFirst + i32(ja) * p.vStrideT, v, dv); }
        if (has(c, jb)) { rb = row4(p.vType, p.v, vFirst + i32(jb) * p.vStrideT, v, dv); }
      } else if (isNode) {
        if (v < p.vp) {
          ra = loadF4(state + (ja * p.vp + v) * 4u);
          rb = loadF4(state + (jb * p.vp + v) * 4u);
        }
      } else {
        if (ja < dk) { ra = row4(0, p.stateIn, i32(state + ja * dv), v, dv); }
        if (jb < dk) { rb = row4(0, p.stateIn, i32(state + jb * dv), v, dv); }
      }
      workgroupBarrier();
      ls[t] = la;
      ls[t + 128u] = lb;
      rs[t] = ra;
      rs[t + 128u] = rb;
      workgroupBarrier();
      for (var r = 0u; r < 256u; r += 16u) {
        let lx = ls[r + token];
        let ly = ls[r + token + 8u];
        let rv = rs[r + quad];
        o0 = fma(vec4f(lx.x), rv, o0);
        o1 = fma(vec4f(lx.y), rv, o1);
        o2 = fma(vec4f(lx.z), rv, o2);
        o3 = fma(vec4f(lx.w), rv, o3);
        o4 = fma(vec4f(ly.x), rv, o4);
        o5 = fma(vec4f(ly.y), rv, o5);
        o6 = fma(vec4f(ly.z), rv, o6);
        o7 = fma(vec4f(ly.w), rv, o7);
      }
    }
  }
  if (v >= dv) { return; }
  let place = Place(c, v, c.batch * p.oStrideB + c.start * p.oStrideT + i32(head) * p.oStrideH);
  let row = token * 4u;
  emit(place, row, o0);
  emit(place, row + 1u, o1);
  emit(place, row + 2u, o2);
  emit(place, row + 3u, o3);
  emit(place, row + 32u, o4);
  emit(place, row + 33u, o5);
  emit(place, row + 34u, o6);
  emit(place, row + 35u, o7);
}
