//! params FavorParams
//! extra rows: u32
//! use group, special, feature-row, row-lanes
// Positive random features from projections, in place: o = ratio (e^(scale w x - square |x|^2 - c) + epsilon), c a constant, a row's
// largest scale w x, or that of its (batch, head); or ratio (max(scale w x, 0) + epsilon).
//
//   x       f32 [B, T, H, d]  any strides, last axis contiguous
//   o       f32 [B, T, H, F]  contiguous: projections w x in, features out
//   maxima  f32 [B, H]        where c is the (batch, head)'s
//
// Sixteen threads: one row. Choromanski 2021 (FAVOR+).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let row = group * 16u + t / LANES;
  let there = row < p.rows;
  let x = inputRow(min(row, p.rows - 1u));
  let o = featureRow(row);
  let relu = p.relu != 0;
  let features = select(0u, u32(p.features), there);
  var square = 0.0;
  var most = LOWEST;
  if (!relu) {
    for (var i = t % LANES; i < select(0u, u32(p.d), there); i += LANES) {
      let y = loadF(x + i * 4u);
      square = fma(y, y, square);
    }
    if (p.stabilizer == 1) {
      for (var i = t % LANES; i < features; i += LANES) { most = max(most, loadF(o + i * 4u)); }
    }
  }
  square = rowSum(t, square);
  most = rowMax(t, most);
  var c = p.constant;
  if (p.stabilizer == 1) { c = p.scale * most; }
  if (p.stabilizer == 2 && there) {
    let batch = row / u32(p.heads * p.length);
    c = p.scale * loadF(p.maxima + (batch * u32(p.heads) + row % u32(p.heads)) * 4u);
  }
  let shift = p.square * square + c;
  for (var i = t % LANES; i < features; i += LANES) {
    let y = loadF(o + i * 4u) * p.scale;
    let f = select(exp(clamp(y - shift, -200.0, 88.7)), max(y, 0.0), relu);
    storeF(o + i * 4u, (f + p.epsilon) * p.ratio);
  }
}
