//! params NarrowParams
//! extra count: u32, byte: u32
//! use group, narrow-places
// As narrow-words, where words of o may belong to several rows, or to what must stay: a pass for each place in a word.
//
// Thread: one element, written if it begins at byte `byte` of its word, so that no two threads of a pass write the same word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.count) { return; }
  let bytes = bytesOfType(p.oType);
  let at = narrowPlace(i);
  if ((at & 3u) != p.byte) { return; }
  let mask = select(0xffffu, 0xffu, bytes == 1u) << (p.byte * 8u);
  let word = loadU(at & ~3u);
  storeU(at & ~3u, (word & ~mask) | ((narrowed(i) << (p.byte * 8u)) & mask));
}
