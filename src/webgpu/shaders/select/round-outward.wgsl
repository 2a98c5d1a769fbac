//! params OutwardParams
//! use group
//! extra elements: u32
// Bounds in 16 bits that bound what the given ones bound: the largest rounded up, the least down.
//
//   x  f32 [B, H, pages, 2, d]    contiguous
//   o  bf16 [B, H, pages, 2, d]   any strides that are even, last two axes contiguous
//
// Thread: two elements, which are one word of o.

// The upper 16 bits of x, or those of the next number of 16 bits outward; NaN stays NaN.
fn outward(bits: u32, largest: bool) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  // largest numbers below zero and least ones above are bounded by what is cut off
  if ((bits >> 31u != 0u) == largest) { return bits >> 16u; }
  return (bits >> 16u) + u32((bits & 0xffffu) != 0u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = i32(e) / p.d;
  let c = (i32(e) - item * p.d) * 2;
  let list = item / p.pages;
  let batch = list / p.heads;
  let at = batch * p.oStrideB + (list - batch * p.heads) * p.oStrideH + (item - list * p.pages) * p.oStrideP + c;
  let x = p.x + u32(item * 2 * p.d + c) * 4u;
  let low = outward(loadU(x), c < p.d);
  let high = outward(loadU(x + 4u), c + 1 < p.d);
  storeU(p.o + u32(at) * 2u, low | (high << 16u));
}
