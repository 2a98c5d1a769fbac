//! params TakeChannelParams
//! use group, storage
//! extra elements: u32
// Some channels of rows.
//
//   x         f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
//   channels  i32 [lists, r]                  contiguous, from 0 to d - 1; head h reads list floor(h lists / H)
//   o         f32 [B, T, H, r]                any strides, last axis contiguous; must not alias x
//
// Thread: one element.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = groupIndex(wg, grid) * 256u + t;
  if (e >= p.elements) { return; }
  let line = i32(e) / p.r;
  let n = i32(e) - line * p.r;
  let item = line / p.heads;
  let h = line - item * p.heads;
  let batch = item / p.length;
  let token = item - batch * p.length;
  let c = loadI(p.channels + u32(((h * p.lists) / p.heads) * p.r + n) * 4u);
  let x = loadAs(p.xType, p.x, batch * p.xStrideB + token * p.xStrideT + h * p.xStrideH + c);
  storeF(p.o + u32(batch * p.oStrideB + token * p.oStrideT + h * p.oStrideH + n) * 4u, x);
}
