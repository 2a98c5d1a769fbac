//! params PoolParams
//! use group, pool-lists, list-order
//! extra from_: u32, to_: u32, shift: u32
// One digit of the order of each list by labels.
//
// Workgroup: one list.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = groupIndex(wg, grid);
  if (item >= p.groups) { return; }
  sortList(t, item, p.from_, p.to_, p.shift);
}
