//! params FavorParams
//! extra parts: u32, most: u32
//! use group, special
// The largest of what favor-maxima found: maxima f32 [B, H]. Thread: one (batch, head).

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  var found = LOWEST;
  for (var i = 0u; i < p.parts; i += 1u) { found = max(found, loadF(p.most + (group * p.parts + i) * 4u)); }
  if (t == 0u) { storeF(p.maxima + group * 4u, found); }
}
