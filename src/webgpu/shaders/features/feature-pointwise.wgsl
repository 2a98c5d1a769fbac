//! params PointwiseParams
//! extra rows: u32
//! use group, feature-row, softplus
// o = factor * f(x), f by number: elu(x) + 1, max(x, 0), its square, 1 / (1 + e^-x), e^x, x / (1 + e^-x), tanh x, ln(1 + e^x),
// -ln(1 + e^-x).
//
//   x  f32 [B, T, H, d]  any strides, last axis contiguous
//   o  f32 [B, T, H, d]  contiguous, `size` elements; may be x
//
// Thread: one element. Katharopoulos 2020 (elu + 1); So 2021 (squared relu).

fn mapped(x: f32) -> f32 {
  switch p.map {
    case 1: { return max(x, 0.0); }
    case 2: { return max(x, 0.0) * max(x, 0.0); }
    case 3: { return sigmoid(x); }
    case 4: { return exp(clamp(x, -200.0, 88.7)); }
    case 5: { return x * sigmoid(x); }
    case 6: { return tanh(clamp(x, -16.0, 16.0)); }
    case 7: { return softplus(x); }
    case 8: { return logSigmoid(x); }
    default: { return select(exp(clamp(x, -200.0, 0.0)), x + 1.0, x > 0.0); }
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / u32(p.d);
  let c = i - row * u32(p.d);
  if (row >= p.rows || i >= u32(p.size)) { return; }
  let x = loadF(inputRow(row) + c * 4u);
  let at = featureRow(row) + c * 4u;
  if (p.map == 4 && x > 88.722839) {
    // e^x is infinite
    storeU(at, 0x7f800000u | (bitcast<u32>(p.factor) & 0x80000000u));
    return;
  }
  storeF(at, p.factor * mapped(x));
}
