//! params FocusedParams
//! extra rows: u32
//! use group, feature-row, row-lanes
// o = |r| r^power / |r^power|, r = max(x, 0): the direction sharpened, the length kept; 0 where r = 0.
//
//   x  f32 [B, T, H, d]  any strides, last axis contiguous
//   o  f32 [B, T, H, d]  contiguous; may be x
//
// Sixteen threads: one row. Powers of r over its maximum neither overflow nor vanish together. Han 2023 (FLatten).

fn sharpened(u: f32) -> f32 {
  if (p.power == 3.0) { return u * u * u; }
  if (p.power == 2.0) { return u * u; }
  if (u == 0.0) { return select(0.0, 1.0, p.power == 0.0); }
  return exp2(p.power * log2(u));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let row = group * 16u + t / LANES;
  let end = select(0u, u32(p.d), row < p.rows);
  let x = inputRow(min(row, p.rows - 1u));
  let o = featureRow(row);
  var most = 0.0;
  for (var i = t % LANES; i < end; i += LANES) { most = max(most, loadF(x + i * 4u)); }
  most = rowMax(t, most);
  let unit = select(most, 1.0, most == 0.0);
  var squares = 0.0;
  var powers = 0.0;
  for (var i = t % LANES; i < end; i += LANES) {
    let u = max(loadF(x + i * 4u), 0.0) / unit;
    let w = sharpened(u);
    squares = fma(u, u, squares);
    powers = fma(w, w, powers);
  }
  squares = rowSum(t, squares);
  powers = rowSum(t, powers);
  let factor = select(unit * sqrt(squares / powers), 0.0, most == 0.0);
  for (var i = t % LANES; i < end; i += LANES) {
    storeF(o + i * 4u, sharpened(max(loadF(x + i * 4u), 0.0) / unit) * factor);
  }
}
