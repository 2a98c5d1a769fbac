//! params BitsParams
//! use group, bit-rows, lane-counts
//! extra rowCount: u32
// How many bits of each row are set.
//
//   a       i32 [B, L, R, words]   any strides, words contiguous
//   counts  i32 [B, L, R]          contiguous
//
// LANES threads: one row.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let item = g * (256u / LANES) + t / LANES;
  let lane = t % LANES;
  let row = aRow(i32(item));
  let live = item < p.rowCount;
  var count = 0u;
  for (var w = lane; live && w < u32(p.words); w += LANES) { count += countOneBits(loadU(row + w * 4u)); }
  let all = countLanes(t, count).y;
  if (live && lane == 0u) { storeU(p.counts + item * 4u, all); }
}
