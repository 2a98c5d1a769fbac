//! use output-tile
// Outputs of a chunk: o_i = sum_j A_ij v_j + q_i S, S the state that it begins with, and what own values add, over the denominator.
//
//   left    f32 [chunks][64 + kp][64]   of linear-prepare: A transposed, then the queries
//   v       any storage [B, T, HV, V]
//   states  f32 [chunks][kp][vp], then z f32 [kp]   of linear-scan; one for each sequence and head where the state stays (mode 1)
//   o       f32 [B, T, HV, V]
//
// Group: 64 columns of a chunk and head, 128 threads; a thread has 8 x 4 outputs.

var<workgroup> zs: array<f32, 16>;
var<workgroup> owns: array<f32, 64>;
var<workgroup> qSums: array<f32, 64>;
var<workgroup> inverses: array<vec4f, 16>;

// The key of token i as own values see it, four elements.
fn keyOf(c: Chunk, i: i32, head: i32, k: u32) -> vec4f {
  let dk = u32(p.dk);
  if (p.tied == 0) {
    let row = c.batch * p.kStrideB + (c.start + i) * p.kStrideT + head / p.group * p.kStrideH;
    return row4(p.kType, p.k, row, k, dk);
  }
  let row = c.batch * p.gStrideB + (c.start + i) * p.gStrideT + head / p.gateGroup * p.gStrideH;
  let g = row4(0, p.g, row, k, dk);
  if (p.gateLinear != 0) { return 1.0 - g; }
  return fall4(g);
}

// What a token's own value is multiplied by.
fn ownFactor(c: Chunk, i: u32, head: u32) -> f32 {
  var factor = 0.0;
  if (p.skip != 0u) { factor = loadF(p.skip + head * 4u); }
  if (p.bonus == 0u && p.bonusScalar == 0u) { return factor; }
  let dk = u32(p.dk);
  let keyHead = i32(head) / p.group;
  let qRow = c.batch * p.qStrideB + (c.start + i32(i)) * p.qStrideT + keyHead * p.qStrideH;
  var sum = 0.0;
  for (var k = 0u; k < dk; k += 4u) {
    var x = row4(p.qType, p.q, qRow, k, dk);
    if (p.bonus != 0u) { x *= row4(0, p.bonus, keyHead * p.bonusStrideH, k, dk); }
    sum += dot(x, keyOf(c, i32(i), i32(head), k));
  }
  if (p.bonusSigmoid != 0) { return factor + 1.0 / (1.0 + exp(min(-sum, 88.0))); }
  if (p.bonusScalar != 0u) { sum *= loadF(tokenAt(p.bonusScalar, c, i, head)); }
  return factor + sum * p.scale;
}

fn querySum(c: Chunk, i: u32, head: u32) -> f32 {
  let row = c.batch * p.qStrideB + (c.start + i32(i)) * p.qStrideT + i32(head) / p.group * p.qStrideH;
  var sum = 0.0;
  for (var k = 0u; k < u32(p.dk); k += 4u) { sum += dot(row4(p.qType, p.q, row, k, u32(p.dk)), vec4f(1.0)); }
  return sum;
}

// What the output of a row with q z = sum is divided by.
fn denominator(c: Chunk, i: u32, head: u32, sum: f32) -> f32 {
  if (!has(c, i)) { return 1.0; }
  switch p.normalizer {
    case 1: { return sum + p.epsilon; }
    case 2: { return max(sum, p.epsilon); }
    case 3: { return max(abs(sum), decay4(vec4f(-loadF(tokenAt(p.m, c, i, head)))).x) + p.epsilon; }
    default: { return sum + p.epsilon * p.scale * qSums[i]; }
  }
}

fn finished(tile: OutputTile, i: u32, products: vec4f) -> vec4f {
  var x = products;
  if ((p.mode & 2) != 0 && (p.bonus != 0u || p.bonusScalar != 0u || p.skip != 0u)) {
    x += owns[i] * valueRow(tile.c, tile.vFirst, i, tile.v);
  }
  if (p.normalizer != 0) { x *= inverses[i / 4u][i & 3u]; }
  return x;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let tile = outputTile(group, t);
  let c = tile.c;
  let head = tile.head;
  let v = tile.v;
  let writes = (p.mode & 2) != 0;
  let owned = writes && (p.bonus != 0u || p.bonusScalar != 0u || p.skip != 0u);
  if (t < 64u && has(c, t)) {
    if (owned) { owns[t] = ownFactor(c, t, head); }
    if (p.normalizer == 4) { qSums[t] = querySum(c, t, head); }
  }
  let state = p.states + select(c.sequence * u32(p.heads) + head, tile.chunk, writes) * p.stateBytes;
  let row = t / 16u;
  var sum = vec4f();
  let end = CHUNK + p.kp;
  for (var r0 = select(CHUNK, 0u, writes); r0 < end; r0 += 16u) {
    let la = loadF4(tile.left + r0 * 256u + t * 16u);
    let lb = loadF4(tile.left + r0 * 256u + t * 16u + 2048u);
    var ra = vec4f();
    var rb = vec4f();
    var z = 1.0;
    if (r0 < CHUNK) {
      ra = valueRow(c, tile.vFirst, r0 + row, v);
      rb = valueRow(c, tile.vFirst, r0 + row + 8u, v);
    } else {
      let k = r0 - CHUNK;
      if (v < p.vp) {
        let at = state + ((k + row) * p.vp + v) * 4u;
        ra = loadF4(at);
        rb = loadF4(at + p.vp * 32u);
      }
      if (p.normalizer != 0 && t < 16u) { z = loadF(state + (p.kp * p.vp + k + t) * 4u); }
    }
    shareTerms(t, la, lb, ra, rb);
    if (t < 16u) { zs[t] = z; }
    addProducts(t);
    if (p.normalizer != 0 && t < 16u) {
      for (var r = 0u; r < 16u; r += 1u) { sum = fma(leftTile[r * 16u + t], vec4f(zs[r]), sum); }
    }
  }
  if (p.normalizer != 0 && t < 16u) {
    let i = t * 4u;
    inverses[t] = 1.0 / vec4f(
      denominator(c, i, head, sum.x),
      denominator(c, i + 1u, head, sum.y),
      denominator(c, i + 2u, head, sum.z),
      denominator(c, i + 3u, head, sum.w),
    );
  }
  workgroupBarrier();
  writeOutputs(tile, t);
}
