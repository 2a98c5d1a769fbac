//! params DecodeParams
//! use group, merge-splits
// The partials of decode joined: see merge-splits.wgsl.
//
// Workgroup: one (sequence, key/value head, row).

var<workgroup> there: u32;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = groupIndex(wg, grid);
  if (item >= p.groups) { return; }
  let rows = u32(p.rows);
  let row = i32(item % rows);
  let h = (item / rows) % u32(p.kvHeads);
  let number = item / (rows * u32(p.kvHeads));
  let s = sequenceAt(number);
  let rowBytes = u32((p.dv + 7) & ~7) * 4u + 32u;
  let first = (number * u32(p.kvHeads) + h) * u32(p.splits) * rows + u32(row);
  // a sequence shorter than the longest has no such row, nor a place for it
  if (t == 0u) { there = select(0u, 1u, row < s.qLength * p.group); }
  if (workgroupUniformLoad(&there) == 0u) { return; }
  mergeSplits(s, i32(h) * p.group + row % p.group, row / p.group, p.partials + first * rowBytes, rowBytes * rows, u32(p.splits), t);
}
