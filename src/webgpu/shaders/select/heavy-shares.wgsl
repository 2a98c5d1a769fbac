//! params HeavyChannelParams
//! use group, workgroup-sum
// Weights of channels over the largest of their head.
//
//   weights  f32 [H / group, d]   contiguous, in place
//
// Workgroup: one key head.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let h = groupIndex(wg, grid);
  if (h >= p.groups) { return; }
  let d = u32(p.d);
  var most = 0.0;
  for (var c = t; c < d; c += 256u) { most = max(most, loadF(p.weights + (h * d + c) * 4u)); }
  most = workgroupMax(t, most);
  var factor = 1.0;
  if (most > 0.0 && most < 3e38) { factor = 1.0 / most; }
  for (var c = t; c < d; c += 256u) {
    let at = p.weights + (h * d + c) * 4u;
    storeF(at, loadF(at) * factor);
  }
}
