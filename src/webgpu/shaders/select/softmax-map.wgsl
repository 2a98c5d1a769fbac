//! params SoftmaxMapParams
//! use group, special, map-rows, lanes
//! extra rowCount: u32
// Softmax of scale (above 0) times each row of a map over the columns that it sees, in place; the other columns become 0.
//
//   map  f32 [B, L, N, M]  columns contiguous; what a row does not see is not read
//
// A row that sees nothing, or only -Infinity, becomes zeros. LANES threads: one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = item < p.rowCount;
  let list = i32(item) / p.rows;
  let i = i32(item) - list * p.rows;
  let row = mapRow(list, i);
  var seen = 0u;
  if (live) { seen = u32(visibleColumns(i)); }
  let end = select(0u, u32(p.columns), live);
  var most = LOWEST;
  for (var j = lane; j < seen; j += LANES) {
    let x = loadF(row + j * 4u);
    if (!isNegativeInfinity(x)) { most = max(most, x); }
  }
  most = maxLanes(t, most);
  var sum = 0.0;
  for (var j = lane; j < seen; j += LANES) {
    let x = loadF(row + j * 4u);
    if (!isNegativeInfinity(x)) { sum += exp2((x - most) * (p.scale * LOG2E)); }
  }
  sum = sumLanes(t, sum);
  var factor = 0.0;
  if (sum > 0.0) { factor = 1.0 / sum; }
  for (var j = lane; j < end; j += LANES) {
    var w = 0.0;
    if (j < seen) {
      let x = loadF(row + j * 4u);
      if (!isNegativeInfinity(x)) { w = exp2((x - most) * (p.scale * LOG2E)) * factor; }
    }
    storeF(row + j * 4u, w);
  }
}
