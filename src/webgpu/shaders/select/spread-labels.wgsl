//! params ClusterMapParams
//! use group
//! extra elements: u32
// Labels of tokens that are in the order of their labels.
//
//   offsets  i32 [B, H / group, C + 1]   contiguous: first place of each label
//   labels   i32 [B, H, length]          contiguous; -1 behind the last label's places
//
// Thread: one place.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let list = i32(e) / p.length;
  let at = i32(e) - list * p.length;
  let offsets = p.counts + u32((list / p.group) * (p.columns + 1)) * 4u;
  // the last label that begins here or before
  var low = 0;
  var high = p.columns;
  while (low < high) {
    let middle = (low + high) / 2;
    if (loadI(offsets + u32(middle + 1) * 4u) <= at) { low = middle + 1; } else { high = middle; }
  }
  storeI(p.labels + e * 4u, select(low, -1, low >= p.columns));
}
