//! params CopyParams
//! extra items: u32
//! use group, storage
// Copies rows between layouts, widening 16-bit floats.
//
//   x  [B, T, H, d]      f32, f16, bf16 or i8; any strides (0 repeats), last axis contiguous
//   o  f32 [B, T, H, d]  any strides, last axis contiguous; must not alias x
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / u32(p.d);
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = i32(i - row * u32(p.d));
  let h = i32(row - item * u32(p.heads));
  let batch = i32(item) / p.length;
  let time = i32(item) - batch * p.length;
  let x = loadAs(p.xType, p.x, batch * p.xStrideB + time * p.xStrideT + h * p.xStrideH + c);
  storeF(p.o + u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH + c) * 4u, x);
}
