//! params DiagonalSumsParams
//! use group, map-rows
//! extra elements: u32
// Sums of a map along its diagonals: o_d = sum of map_ij over i + offset - j = d, of what the rows see.
//
//   map  f32 [B, L, N, M]   columns contiguous; what a row does not see is not read
//   o    f32 [B, L, count]  contiguous; diagonals outside [0, count) are left out
//
// MInference's slashes (Jiang 2024). Thread: one diagonal.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let list = i32(e) / p.count;
  let d = i32(e) - list * p.count;
  var sum = 0.0;
  for (var i = 0; i < p.rows; i += 1) {
    let j = i + p.offset - d;
    if (j >= 0 && j < visibleColumns(i)) { sum += loadF(mapRow(list, i) + u32(j) * 4u); }
  }
  storeF(p.o + e * 4u, sum);
}
