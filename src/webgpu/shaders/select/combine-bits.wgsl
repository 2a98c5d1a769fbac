//! params BitsParams
//! use group, bit-rows
//! extra elements: u32
// Two sets of bits as one: a and b, a or b, a and not b.
//
//   a, b  i32 [B, L, R, words]   any strides (0 repeats), words contiguous
//   o     i32 [B, L, R, words]   contiguous; may be a or b
//
// Thread: one word.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = e / u32(p.words);
  let w = (e - item * u32(p.words)) * 4u;
  let x = loadU(aRow(i32(item)) + w);
  let y = loadU(bRow(i32(item)) + w);
  var o = x & ~y;
  if (p.operation == 0) { o = x & y; }
  if (p.operation == 1) { o = x | y; }
  storeU(p.o + e * 4u, o);
}
