//! params ClusterMapParams
//! use group, special, map-rows
//! extra elements: u32
// Scores of clusters of keys count for all of their keys: map_hrc += ln counts_hc, -Infinity where a cluster has none.
//
//   map     f32 [B, H, R, C]       columns contiguous, in place
//   counts  i32 [B, H / group, C]  contiguous
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let columns = u32(p.columns);
  let line = e / columns;
  let c = e - line * columns;
  let list = i32(line) / p.rows;
  let at = mapRow(list, i32(line) - list * p.rows) + c * 4u;
  let count = loadI(p.counts + (u32(list / p.group) * columns + c) * 4u);
  let x = loadF(at);
  if (count <= 0) { storeU(at, NEGATIVE_INFINITY_BITS); }
  else if (!isNegativeInfinity(x)) { storeF(at, x + log(f32(count))); }
}
