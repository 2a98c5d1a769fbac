//! params FeatureSoftmaxParams
//! extra rows: u32
//! use group, special, feature-row, row-lanes
// Softmax of each row of scale * x, or of [scale * x, -scale * x] (mirrored). A row of -Infinity becomes zeros.
//
//   x  f32 [B, T, H, d]  any strides, last axis contiguous
//   o  f32 [B, T, H, F]  contiguous; F is d, or 2d mirrored; may be x if not mirrored
//
// Sixteen threads: one row. Zhang 2024 (Hedgehog: mirrored).

fn exponential(x: f32, most: f32) -> f32 {
  return select(exp(x - most), 0.0, x <= LOWEST);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let row = group * 16u + t / LANES;
  let d = u32(p.d);
  let end = select(0u, d, row < p.rows);
  let x = inputRow(min(row, p.rows - 1u));
  let o = featureRow(row);
  let mirrored = p.mirrored != 0;
  var most = LOWEST;
  for (var i = t % LANES; i < end; i += LANES) {
    let value = loadF(x + i * 4u);
    if (isNegativeInfinity(value)) { continue; }
    most = max(most, p.scale * select(value, abs(value), mirrored));
  }
  most = rowMax(t, most);
  var sum = 0.0;
  for (var i = t % LANES; i < end; i += LANES) {
    let value = loadF(x + i * 4u);
    let y = select(p.scale * value, LOWEST, isNegativeInfinity(value));
    sum += exponential(y, most);
    if (mirrored) { sum += exponential(-y, most); }
  }
  sum = rowSum(t, sum);
  let inverse = select(1.0 / sum, 0.0, sum == 0.0);
  for (var i = t % LANES; i < end; i += LANES) {
    let value = loadF(x + i * 4u);
    let y = select(p.scale * value, LOWEST, isNegativeInfinity(value));
    storeF(o + i * 4u, exponential(y, most) * inverse);
    if (mirrored) { storeF(o + (d + i) * 4u, exponential(-y, most) * inverse); }
  }
}
