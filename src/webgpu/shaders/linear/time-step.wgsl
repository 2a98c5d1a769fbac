//! params TimeStepParams
//! extra count: u32
//! use group, softplus
// Time steps and their decays: dt = x + bias, its softplus if wanted, g = a dt.
//
//   x, o, g  f32 [rows, H]   contiguous; o is dt
//   bias     f32 [H]         may be absent
//   a        f32 [H]
//
// Thread: one element. Mamba-2 (Dao and Gu 2024).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.count) { return; }
  let head = (i % u32(p.heads)) * 4u;
  var dt = loadF(p.x + i * 4u);
  if (p.bias != 0u) { dt += loadF(p.bias + head); }
  if (p.softplus != 0) { dt = softplus(dt); }
  storeF(p.o + i * 4u, dt);
  storeF(p.g + i * 4u, dt * loadF(p.a + head));
}
