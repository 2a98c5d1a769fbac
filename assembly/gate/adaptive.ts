import { AdaptiveGateParams, AdaptivePoolParams } from '../params';
import { erf64 } from '../simd/erf64';
import { exp64 } from '../simd/exp64';

/** sum[n] += x[n] */
function addRow(x: usize, sum: usize, n: i32): void {
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(sum + i, f32x4.add(v128.load(sum + i), v128.load(x + i)));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(sum + i, load<f32>(sum + i) + load<f32>(x + i));
}

/**
 * Means of bins of tokens, of which only two numbers are kept: their product with the mean of all tokens, and the sum of their channels.
 *
 *   x     f32 [B, T, d]      any strides, last axis contiguous
 *   mean  f32 [B, d]         mean of all tokens
 *   bins  i32 [P, 2]         first token of each bin, and one past its last; bins may overlap
 *   o     f32 [B, P, 2]      product, sum
 *
 * Adaptive average pooling as in PyTorch, for the gate of ASAM. Item: one (batch, bin). Scratch: f32 [d].
 */
export function adaptivePool(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<AdaptivePoolParams>(params);
  const bytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.count;
    const bin = p.bins + ((<usize>(item - batch * p.count)) << 3);
    const first = load<i32>(bin);
    const last = load<i32>(bin, 4);
    memory.fill(scratch, 0, bytes);
    for (let t = first; t < last; ++t) {
      addRow(p.x + ((<usize>(batch * p.xStrideB + t * p.xStrideT)) << 2), scratch, p.d);
    }
    const mean = p.mean + <usize>batch * bytes;
    let product: f64 = 0;
    let sum: f64 = 0;
    for (let i: usize = 0; i < bytes; i += 4) {
      const value = <f64>load<f32>(scratch + i);
      product += value * <f64>load<f32>(mean + i);
      sum += value;
    }
    const inverse: f64 = last > first ? 1 / <f64>(last - first) : 0;
    store<f32>(p.o + ((<usize>item) << 3), <f32>(product * inverse));
    store<f32>(p.o + ((<usize>item) << 3), <f32>(sum * inverse), 4);
  }
}

/** o[rows] = weight [rows, columns] x + bias, f64 but for the weights. */
function linear(weight: usize, bias: usize, x: usize, o: usize, rows: i32, columns: i32): void {
  for (let r: usize = 0; r < <usize>rows; ++r) {
    let sum: f64 = bias ? <f64>load<f32>(bias + (r << 2)) : 0;
    for (let c: usize = 0; c < <usize>columns; ++c) {
      sum += <f64>load<f32>(weight) * load<f64>(x + (c << 3));
      weight += 4;
    }
    store<f64>(o + (r << 3), sum);
  }
}

function relu(x: usize, n: i32): void {
  for (let i: usize = 0; i < (<usize>n) << 3; i += 8) if (load<f64>(x + i) < 0) store<f64>(x + i, 0);
}

/** Layer norm with weight and bias, then gelu(x) = x/2 (1 + erf(x / sqrt 2)). */
function normGelu(p: AdaptiveGateParams, x: usize): void {
  const n = <f64>p.hidden;
  let mean: f64 = 0;
  for (let i: usize = 0; i < <usize>p.hidden; ++i) mean += load<f64>(x + (i << 3));
  mean /= n;
  let square: f64 = 0;
  for (let i: usize = 0; i < <usize>p.hidden; ++i) {
    const difference = load<f64>(x + (i << 3)) - mean;
    square += difference * difference;
  }
  const inverse = 1 / sqrt<f64>(square / n + 1e-5);
  for (let i: usize = 0; i < <usize>p.hidden; ++i) {
    let y = (load<f64>(x + (i << 3)) - mean) * inverse;
    if (p.normWeight) y *= <f64>load<f32>(p.normWeight + (i << 2));
    if (p.normBias) y += <f64>load<f32>(p.normBias + (i << 2));
    store<f64>(x + (i << 3), 0.5 * y * (1 + erf64(y * Math.SQRT1_2)));
  }
}

function sigmoid(x: f64): f64 {
  return 1 / (1 + exp64(-x));
}

/** Bytes of scratch: features, hidden units, inner units and outputs of a head. */
export function adaptiveGateScratchBytes(params: usize): i32 {
  const p = changetype<AdaptiveGateParams>(params);
  return 8 * (p.features + p.hidden + p.inner + 2 * p.heads);
}

/**
 * The gate of ASAM: sigma((threshold_h - complexity_h) * confidence_h / |temperature|) of each batch entry.
 *
 *   pooled        f32 [B, P, 2]               as adaptivePool writes it: scores and sums of bins
 *   feature       f32 [F, P] and [F]          linear layer on softmax_P(scores) * sums
 *   norm          f32 [F] and [F]             layer norm, followed by gelu; may be absent
 *   complexity    f32 [I, F], [I], [H, I], [H]  two linear layers, relu between
 *   confidence    likewise, sigma behind
 *   threshold     f32 [H], temperature f32 [1]
 *   gate, complexities, confidences  f32 [B, H]
 *
 * Biases may be absent. Li 2026 (asam-attention). Item: one batch entry, in f64. Scratch: adaptiveGateScratchBytes.
 */
export function adaptiveGate(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<AdaptiveGateParams>(params);
  const hidden = scratch + ((<usize>p.features) << 3);
  const inner = hidden + ((<usize>p.hidden) << 3);
  const complexity = inner + ((<usize>p.inner) << 3);
  const confidence = complexity + ((<usize>p.heads) << 3);
  const temperature = abs(<f64>load<f32>(p.temperature));
  for (let item = begin; item < end; ++item) {
    const pooled = p.pooled + ((<usize>(item * p.features)) << 3);
    let most: f64 = -Infinity;
    for (let i: usize = 0; i < <usize>p.features; ++i) most = max<f64>(most, <f64>load<f32>(pooled + (i << 3)));
    let sum: f64 = 0;
    for (let i: usize = 0; i < <usize>p.features; ++i) {
      const weight = exp64(<f64>load<f32>(pooled + (i << 3)) - most);
      sum += weight;
      store<f64>(scratch + (i << 3), weight * <f64>load<f32>(pooled + (i << 3), 4));
    }
    for (let i: usize = 0; i < <usize>p.features; ++i)
      store<f64>(scratch + (i << 3), load<f64>(scratch + (i << 3)) / sum);
    linear(p.featureWeight, p.featureBias, scratch, hidden, p.hidden, p.features);
    normGelu(p, hidden);
    linear(p.complexityWeight1, p.complexityBias1, hidden, inner, p.inner, p.hidden);
    relu(inner, p.inner);
    linear(p.complexityWeight2, p.complexityBias2, inner, complexity, p.heads, p.inner);
    linear(p.confidenceWeight1, p.confidenceBias1, hidden, inner, p.inner, p.hidden);
    relu(inner, p.inner);
    linear(p.confidenceWeight2, p.confidenceBias2, inner, confidence, p.heads, p.inner);
    for (let h: usize = 0; h < <usize>p.heads; ++h) {
      const at = (<usize>(item * p.heads) + h) << 2;
      const complex = load<f64>(complexity + (h << 3));
      const confident = sigmoid(load<f64>(confidence + (h << 3)));
      const logit = ((<f64>load<f32>(p.threshold + (h << 2)) - complex) * confident) / temperature;
      store<f32>(p.gate + at, <f32>sigmoid(logit));
      store<f32>(p.complexities + at, <f32>complex);
      store<f32>(p.confidences + at, <f32>confident);
    }
  }
}
