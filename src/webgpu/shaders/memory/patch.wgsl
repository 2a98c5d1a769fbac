//! extra at: u32, mask: u32, bits: u32
//! use group
// Replaces some bytes of a word: a host writes whole words, and tensors of bytes and halves begin and end inside of one.
//
//   at    address of the word
//   mask  which of its bits are replaced
//   bits  by what
//
// One thread.

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u) {
  if (groupIndex(wg, grid) >= p.groups) { return; }
  storeU(p.at, (loadU(p.at) & ~p.mask) | p.bits);
}
