//! params CosineParams
//! extra rows: u32
//! use group, feature-row
// o = [r sin a_t, r cos a_t], r = max(x, 0).
//
//   x         f32 [B, T, H, d]   any strides, last axis contiguous
//   cos, sin  f32 [T]            of the angles a_t
//   o         f32 [B, T, H, 2d]  contiguous; must not alias x
//
// Thread: one element of x. Qin 2022 (cosFormer).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let d = u32(p.d);
  let row = i / d;
  let c = i - row * d;
  if (row >= p.rows) { return; }
  let x = max(loadF(inputRow(row) + c * 4u), 0.0);
  let time = ((row / u32(p.heads)) % u32(p.length)) * 4u;
  let at = featureRow(row) + c * 4u;
  storeF(at, x * loadF(p.sin + time));
  storeF(at + d * 4u, x * loadF(p.cos + time));
}
