//! params RowProductsParams
//! extra items: u32
//! use group, storage
// Rows times gates: o = base + factor x y.
//
//   x     any storage [B, T, H, d]  any strides, last axis contiguous
//   y     f32 [B, T, H, d]          likewise (0 repeats); with ySplat f32 [B, T, H], one for a row
//   base  any storage [B, T, H, d]  likewise; absent: 0
//   o     f32 [B, T, H, d]          contiguous; must not alias the others
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
  let b = i32(item) / p.length;
  let time = i32(item) - b * p.length;
  let yAt = b * p.yStrideB + time * p.yStrideT + h * p.yStrideH + select(c, 0, p.ySplat != 0);
  let y = loadF(p.y + u32(yAt) * 4u);
  var o = p.factor * loadAs(p.xType, p.x, b * p.xStrideB + time * p.xStrideT + h * p.xStrideH + c) * y;
  if (p.base != 0u) {
    o += loadAs(p.baseType, p.base, b * p.baseStrideB + time * p.baseStrideT + h * p.baseStrideH + c);
  }
  storeF(p.o + i * 4u, o);
}
