//! params SignsParams
//! use group, storage
//! extra elements: u32
// Rows as what is above 0 and what is below: their product with the largest and least of numbers bounds that with any of them.
//
//   x  f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   o  f32 [B, T, H, 2, d]             contiguous; must not alias x
//
//   o_0c = max(x_c, 0), o_1c = min(x_c, 0). Quest (Tang 2024). Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let item = e / u32(p.d);
  let c = e - item * u32(p.d);
  let token = i32(item) / p.heads;
  let h = i32(item) - token * p.heads;
  let batch = token / p.length;
  let i = token - batch * p.length;
  let x = loadAs(p.xType, p.x, batch * p.xStrideB + i * p.xStrideT + h * p.xStrideH + i32(c));
  let to = p.o + (item * 2u * u32(p.d) + c) * 4u;
  storeF(to, max(x, 0.0));
  storeF(to + u32(p.d) * 4u, min(x, 0.0));
}
