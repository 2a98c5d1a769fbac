//! params FavorParams
//! extra parts: u32, most: u32
//! use group, special
// Largest projection of 64 tokens of each (batch, head), over all features.
//
//   o     f32 [B, T, H, F]      contiguous: projections w x
//   most  f32 [B, H, parts]
//
// Group: 64 tokens of a (batch, head).

var<workgroup> found: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let pair = group / p.parts;
  let first = (group - pair * p.parts) * 64u;
  let heads = u32(p.heads);
  let batch = pair / heads;
  let head = pair - batch * heads;
  let features = u32(p.features);
  let end = min(64u, u32(p.length) - first);
  var most = LOWEST;
  for (var token = t / 64u; token < end; token += 4u) {
    let row = ((batch * u32(p.length) + first + token) * heads + head) * features;
    for (var i = t % 64u; i < features; i += 64u) { most = max(most, loadF(p.o + (row + i) * 4u)); }
  }
  found[t] = most;
  workgroupBarrier();
  if (t != 0u) { return; }
  for (var i = 1u; i < 256u; i += 1u) { most = max(most, found[i]); }
  storeF(p.most + group * 4u, most);
}
