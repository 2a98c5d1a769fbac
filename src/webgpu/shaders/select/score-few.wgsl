//! params ScoreFewParams
//! use group, storage, map-rows
//! const ROWS, Q_TYPE, K_TYPE
//! extra spans: u32
// Scores of few queries: keys are read where they are, for all queries that share them.
//
//   q    [B, rows, heads, d]             f32, f16 or bf16; any strides, last axis contiguous
//   k    [B, columns, heads / group, d]  likewise
//   map  f32 [B, heads, rows, columns]   columns contiguous; those that a row does not see are left as they are
//
//   map_ij = scale q_i k_j.
//
// Workgroup: 32 columns of one (batch, key head), eight threads a column, ROWS query rows at a time.

const CHUNK = 128u;

var<workgroup> queries: array<f32, ROWS * CHUNK>;
var<workgroup> parts: array<f32, ROWS * 256u>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let list = g / p.spans;
  let j0 = (g - list * p.spans) * 32u;
  let kvHeads = p.heads / p.group;
  let batch = i32(list) / kvHeads;
  let h = i32(list) - batch * kvHeads;
  // what rows see is linear in their number: one of the two ends sees most
  if (i32(j0) >= max(visibleColumns(0), visibleColumns(p.rows - 1))) { return; }
  let d = u32(p.d);
  let lane = t & 7u;
  let column = t >> 3u;
  let j = min(j0 + column, u32(p.columns) - 1u);
  let key = batch * p.kStrideB + i32(j) * p.kStrideT + h * p.kStrideH;
  let all = u32(p.rows * p.group);
  for (var start = 0u; start < all; start += ROWS) {
    var sums = array<f32, ROWS>();
    for (var c0 = 0u; c0 < d; c0 += CHUNK) {
      workgroupBarrier();
      for (var x = t; x < ROWS * CHUNK; x += 256u) {
        let r = start + x / CHUNK;
        let c = c0 + x % CHUNK;
        var value = 0.0;
        if (r < all && c < d) {
          let i = i32(r) / p.group;
          let head = h * p.group + i32(r) - i * p.group;
          value = loadAs(i32(Q_TYPE), p.q, batch * p.qStrideB + i * p.qStrideT + head * p.qStrideH + i32(c)) * p.scale;
        }
        queries[x] = value;
      }
      workgroupBarrier();
      let n = min(CHUNK, d - c0);
      for (var c = lane; c < n; c += 8u) {
        let k = loadAs(i32(K_TYPE), p.k, key + i32(c0 + c));
        for (var r = 0u; r < ROWS; r += 1u) { sums[r] = fma(queries[r * CHUNK + c], k, sums[r]); }
      }
    }
    for (var r = 0u; r < ROWS; r += 1u) { parts[(r * 8u + lane) * 32u + column] = sums[r]; }
    workgroupBarrier();
    let r = t >> 5u;
    let row = start + r;
    let to = j0 + (t & 31u);
    if (r < ROWS && row < all) {
      let i = i32(row) / p.group;
      if (i32(to) < visibleColumns(i)) {
        var sum = 0.0;
        for (var part = 0u; part < 8u; part += 1u) { sum += parts[(r * 8u + part) * 32u + (t & 31u)]; }
        storeF(mapRow(batch * p.lists + h * p.group + i32(row) - i * p.group, i) + to * 4u, sum);
      }
    }
  }
}
