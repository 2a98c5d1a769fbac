//! params JoinSegmentParams
//! extra count: u32
//! use group
// The state after a segment of tokens: S = diag(decay) S + update.
//
//   state   f32 [rows, V]   contiguous
//   decay   f32 [rows]
//   update  f32 [rows, V]   contiguous; must not alias state
//
// Thread: one element. Stage B of the chunk form (Yang 2023).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  if (i >= p.count) { return; }
  let at = i * 4u;
  storeF(p.state + at, fma(loadF(p.decay + i / u32(p.dv) * 4u), loadF(p.state + at), loadF(p.update + at)));
}
