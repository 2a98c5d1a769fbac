//! params CentreParams
//! use group, storage
//! extra elements: u32
// Rows less the mean of their head.
//
//   x     f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   mean  f32 [B, H, d]                   contiguous
//   o     f32 [B, T, H, d]                contiguous
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.d;
  let c = i32(e) - line * p.d;
  let item = line / p.heads;
  let h = line - item * p.heads;
  let batch = item / p.length;
  let token = item - batch * p.length;
  let x = loadAs(p.xType, p.x, batch * p.xStrideB + token * p.xStrideT + h * p.xStrideH + c);
  storeF(p.o + e * 4u, x - loadF(p.mean + u32((batch * p.heads + h) * p.d + c) * 4u));
}
