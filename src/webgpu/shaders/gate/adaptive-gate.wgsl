//! params AdaptiveGateParams
//! extra scratch: u32
//! use group, gate-sums, special
// The gate of ASAM: sigma((threshold_h - complexity_h) * confidence_h / |temperature|) of each batch entry.
//
//   pooled        f32 [B, P, 2]               as adaptive-pool writes it: scores and sums of bins
//   feature       f32 [F, P] and [F]          linear layer on softmax_P(scores) * sums
//   norm          f32 [F] and [F]             layer norm, followed by gelu; may be absent
//   complexity    f32 [I, F], [I], [H, I], [H]  two linear layers, relu between
//   confidence    likewise, sigma behind
//   threshold     f32 [H], temperature f32 [1]
//   gate, complexities, confidences  f32 [B, H]
//   scratch       f32 [B, P + F + I + H]
//
// Biases may be absent. Li 2026 (asam-attention). Workgroup: one batch entry.

// The error function by its series, whose terms are all positive in this form.
fn errorFunction(x: f32) -> f32 {
  let size = abs(x);
  if (size > 4.0) { return sign(x); }
  let square = size * size;
  var term = size;
  var sum = size;
  for (var n = 3.0; n < 120.0 && term > sum * 1e-9; n += 2.0) {
    term *= 2.0 * square / n;
    sum += term;
  }
  return sign(x) * 1.1283791670955126 * exp(-square) * sum;
}

fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -87.0, 87.0))); }

fn some(at: u32, i: u32) -> f32 {
  if (at == 0u) { return 0.0; }
  return loadF(at + i * 4u);
}

// o[rows] = weight [rows, columns] x + bias, at least `least`: sixteen threads a row.
fn layer(t: u32, weight: u32, bias: u32, x: u32, o: u32, rows: i32, columns: i32, least: f32) {
  for (var row0 = 0u; row0 < u32(rows); row0 += 8u) {
    let row = row0 + t / 16u;
    var share = 0.0;
    if (row < u32(rows)) {
      for (var c = t & 15u; c < u32(columns); c += 16u) {
        share = fma(loadF(weight + (row * u32(columns) + c) * 4u), loadF(x + c * 4u), share);
      }
    }
    let sum = sumOfLanes(t, 16u, share);
    if (row < u32(rows) && (t & 15u) == 0u) { storeF(o + row * 4u, max(least, sum + some(bias, row))); }
  }
  storageBarrier();
  workgroupBarrier();
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let item = groupIndex(wg, grid);
  if (item >= p.groups) { return; }
  let features = u32(p.features);
  let x = p.scratch + item * (features + u32(p.hidden) + u32(p.inner) + u32(p.heads)) * 4u;
  let hidden = x + features * 4u;
  let inner = hidden + u32(p.hidden) * 4u;
  let confidence = inner + u32(p.inner) * 4u;
  let pooled = p.pooled + item * features * 8u;

  var most = LOWEST;
  for (var i = t; i < features; i += 128u) { most = max(most, loadF(pooled + i * 8u)); }
  most = largestOfAll(t, most);
  var weights = 0.0;
  for (var i = t; i < features; i += 128u) {
    let weight = exp(loadF(pooled + i * 8u) - most);
    weights += weight;
    storeF(x + i * 4u, weight * loadF(pooled + i * 8u + 4u));
  }
  weights = sumOfLanes(t, 128u, weights);
  for (var i = t; i < features; i += 128u) { storeF(x + i * 4u, loadF(x + i * 4u) / weights); }
  storageBarrier();
  workgroupBarrier();

  layer(t, p.featureWeight, p.featureBias, x, hidden, p.hidden, p.features, LOWEST);
  var sum = 0.0;
  for (var i = t; i < u32(p.hidden); i += 128u) { sum += loadF(hidden + i * 4u); }
  let mean = sumOfLanes(t, 128u, sum) / f32(p.hidden);
  var squares = 0.0;
  for (var i = t; i < u32(p.hidden); i += 128u) {
    let difference = loadF(hidden + i * 4u) - mean;
    squares = fma(difference, difference, squares);
  }
  let inverse = 1.0 / sqrt(sumOfLanes(t, 128u, squares) / f32(p.hidden) + 1e-5);
  for (var i = t; i < u32(p.hidden); i += 128u) {
    var y = (loadF(hidden + i * 4u) - mean) * inverse;
    if (p.normWeight != 0u) { y *= loadF(p.normWeight + i * 4u); }
    y += some(p.normBias, i);
    storeF(hidden + i * 4u, 0.5 * y * (1.0 + errorFunction(y * 0.7071067811865476)));
  }
  storageBarrier();
  workgroupBarrier();

  let complexities = p.complexities + item * u32(p.heads) * 4u;
  layer(t, p.complexityWeight1, p.complexityBias1, hidden, inner, p.inner, p.hidden, 0.0);
  layer(t, p.complexityWeight2, p.complexityBias2, inner, complexities, p.heads, p.inner, LOWEST);
  layer(t, p.confidenceWeight1, p.confidenceBias1, hidden, inner, p.inner, p.hidden, 0.0);
  layer(t, p.confidenceWeight2, p.confidenceBias2, inner, confidence, p.heads, p.inner, LOWEST);
  let temperature = abs(loadF(p.temperature));
  for (var h = t; h < u32(p.heads); h += 128u) {
    let at = (item * u32(p.heads) + h) * 4u;
    let confident = sigmoid(loadF(confidence + h * 4u));
    storeF(p.confidences + at, confident);
    storeF(p.gate + at, sigmoid((loadF(p.threshold + h * 4u) - loadF(complexities + h * 4u)) * confident / temperature));
  }
}
