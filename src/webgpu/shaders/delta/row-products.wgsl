//! params RowProductsParams
//! extra items: u32
//! use group, storage, element-place
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
  let at = placeOf(i, u32(p.d));
  if (at.item >= p.items) { return; }
  let yAt = rowOf(at, p.yStrideB, p.yStrideT, p.yStrideH) + select(at.c, 0, p.ySplat != 0);
  let y = loadF(p.y + u32(yAt) * 4u);
  var o = p.factor * loadAs(p.xType, p.x, offsetOf(at, p.xStrideB, p.xStrideT, p.xStrideH)) * y;
  if (p.base != 0u) { o += loadAs(p.baseType, p.base, offsetOf(at, p.baseStrideB, p.baseStrideT, p.baseStrideH)); }
  storeF(p.o + i * 4u, o);
}
