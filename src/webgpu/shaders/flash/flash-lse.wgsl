//! params FlashParams
//! extra subs: i32, lseTo: u32, rowsOfGroup: i32
//! use group, sequence
// Writes the lse of query rows where the call wants them.
//
//   lseTo  f32 [groups of flash, BM]
//
// Thread: one row.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = i32(groupIndex(wg, grid) * 64u + t);
  let group = row / p.rowsOfGroup;
  let item = group / p.subs;
  let s = sequenceAt(sequenceOfItem(item));
  let blocksQ = (s.qLength + p.blockQ - 1) / p.blockQ;
  let local = item - s.firstItem;
  let h = local / max(blocksQ, 1);
  if (h >= p.heads) { return; }
  let block0 = (blocksQ - 1 - (local - h * blocksQ)) * p.blockQ;
  let i = block0 + (p.subs - 1 - group % p.subs) * p.rowsOfGroup + row % p.rowsOfGroup;
  if (i >= min(block0 + p.blockQ, s.qLength)) { return; }
  let at = s.batch * p.lseStrideB + (s.qStart + i) * p.lseStrideT + h * p.lseStrideH;
  storeU(p.lse + u32(at) * 4u, loadU(p.lseTo + u32(row) * 4u));
}
