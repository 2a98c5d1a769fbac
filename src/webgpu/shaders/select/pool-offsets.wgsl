//! params PoolParams
//! use group, pool-lists, list-order
//! extra order_: u32, offsets_: u32, elements: u32
// First places in the order of each list by labels.
//
// Thread: one place.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = e / (tokenCount() + 1u);
  writeOffsets(item, e - item * (tokenCount() + 1u), p.order_, p.offsets_);
}
