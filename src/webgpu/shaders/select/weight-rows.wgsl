//! params WeightSumsParams
//! use group, special, map-rows, lanes
//! extra space: u32, firstRow: u32, rowCount: u32, lines: u32
// Softmax of the rows of weight-scores, in place, over what each of them sees; the rest becomes 0.
//
//   space  f32 [lists, rowCount, M]
//
// LANES threads: one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let line = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let live = line < p.lines;
  let row = p.space + line * u32(p.columns) * 4u;
  var seen = 0u;
  if (live) { seen = u32(visibleColumns(i32(p.firstRow + line % p.rowCount))); }
  let end = select(0u, u32(p.columns), live);
  var most = LOWEST;
  for (var j = lane; j < seen; j += LANES) { most = max(most, loadF(row + j * 4u)); }
  most = maxLanes(t, most);
  var sum = 0.0;
  for (var j = lane; j < seen; j += LANES) { sum += exp2((loadF(row + j * 4u) - most) * LOG2E); }
  sum = sumLanes(t, sum);
  var factor = 0.0;
  if (sum > 0.0) { factor = 1.0 / sum; }
  for (var j = lane; j < end; j += LANES) {
    var w = 0.0;
    if (j < seen) { w = exp2((loadF(row + j * 4u) - most) * LOG2E) * factor; }
    storeF(row + j * 4u, w);
  }
}
