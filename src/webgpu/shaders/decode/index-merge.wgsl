//! params IndexAttendParams
//! use group, merge-splits
//! extra splits: u32, first: u32, partials: u32
// The partials of index-attend joined: see merge-splits.wgsl.
//
// Workgroup: one (query of an item, head of it), from query number `first` on.

var<workgroup> there: u32;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = groupIndex(wg, grid);
  if (index >= p.groups) { return; }
  let row = index % u32(p.rows);
  let slot = p.first + index / u32(p.rows);
  let item = i32(slot / u32(p.blockQ));
  let s = sequenceAt(sequenceOfItem(item));
  let blocks = max((s.qLength + p.blockQ - 1) / p.blockQ, 1);
  let local = item - s.firstItem;
  let heads = local / blocks;
  let query = (local - heads * blocks) * p.blockQ + i32(slot % u32(p.blockQ));
  if (t == 0u) { there = select(0u, 1u, query < s.qLength); }
  if (workgroupUniformLoad(&there) == 0u) { return; }
  let rowBytes = u32((p.dv + 7) & ~7) * 4u + 32u;
  mergeSplits(s, heads * p.rows + i32(row), query, p.partials + index * p.splits * rowBytes, rowBytes, p.splits, t);
}
