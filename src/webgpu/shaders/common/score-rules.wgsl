//! use attention-sequence, tanh
// What becomes of a score between the product and the softmax: softcap, biases, self scores, masks, in this order.
// Scores are in log2 units. HIDDEN stands for -Infinity; a score that is seen never goes below LEAST_SCORE, whatever its bias, so that a
// row that f32's lowest number hides everywhere is still averaged.

const HIDDEN = -3.4e38;
const LEAST_SCORE = -3e38;

fn isHidden(score: f32) -> bool { return score < -3.2e38; }

// What q is multiplied by: products come in log2 units, or are softcap's argument.
fn scoreFactor() -> f32 { return select(p.scale * LOG2E, p.scale / p.softcap, p.softcap != 0.0); }

fn isInfiniteOrNaN(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u; }

// score + bias, which is in natural units.
fn plusBias(score: f32, bias: f32) -> f32 {
  if (isNegativeInfinity(bias) || isHidden(score)) { return HIDDEN; }
  return max(score + max(bias, -2e38) * LOG2E, LEAST_SCORE);
}

// Key bias at an element: (high, low), whose sum it is. Where WebAssembly has an f64, its 8 bytes are these two floats.
fn keyBiasAt(at: i32) -> vec2f {
  if (p.keyBiasWide != 0) {
    let address = p.keyBias + u32(at) * 8u;
    return vec2f(loadF(address), loadF(address + 4u));
  }
  return vec2f(loadF(p.keyBias + u32(at) * 4u), 0.0);
}

// Key bias of query row i's own key, which is taken from all: small differences of a long cumulative bias stay exact.
fn keyBiasBase(s: Sequence, h: i32, i: i32) -> vec2f {
  if (p.keyBias == 0u || s.kLength == 0) { return vec2f(); }
  let own = clamp(i + s.offset, 0, s.kLength - 1);
  let base = keyBiasAt(s.batch * p.keyBiasStrideB + (s.kStart + own) * p.keyBiasStrideT + h * p.keyBiasStrideH);
  return select(base, vec2f(), isInfiniteOrNaN(base.x));
}

// Whether key j is at query row i's own place.
fn atOwnPlace(s: Sequence, i: i32, j: i32) -> bool {
  if (p.qPositions == 0u) { return j == i + s.offset; }
  let place = loadI(p.qPositions + u32(s.batch * p.qPositionsStrideB + s.qStart + i) * 4u);
  return loadI(p.kPositions + u32(s.batch * p.kPositionsStrideB + s.kStart + j) * 4u) == place;
}

// The score of query row i of head h and key j after all rules but the window, from their product.
fn ruledScore(s: Sequence, h: i32, i: i32, j: i32, product: f32) -> f32 {
  var score = product;
  if (p.softcap != 0.0) { score = tanhOf(score) * (p.softcap * LOG2E); }
  if (p.keyBias != 0u) {
    let bias = keyBiasAt(s.batch * p.keyBiasStrideB + (s.kStart + j) * p.keyBiasStrideT + h * p.keyBiasStrideH);
    let base = keyBiasBase(s, h, i);
    let difference = (bias.x - base.x) + (bias.y - base.y);
    score = plusBias(score, select(difference, bias.x, isNegativeInfinity(bias.x)));
  }
  if (p.alibiSlopes != 0u) {
    score -= loadF(p.alibiSlopes + u32(h) * 4u) * LOG2E * f32(abs(i + s.offset - j));
  }
  let column = s.kStart + j;
  if (p.bias != 0u) {
    let at = s.batch * p.biasStrideB + h * p.biasStrideH + (s.qStart + i) * p.biasStrideT + column;
    score = plusBias(score, loadF(p.bias + u32(at) * 4u));
  }
  if (p.hasSelfScore != 0 && atOwnPlace(s, i, j)) { score = p.selfScore * LOG2E; }
  if (p.mask != 0u) {
    let at = p.mask + u32(s.batch * p.maskStrideB + h * p.maskStrideH + (s.qStart + i) * p.maskStrideT + column);
    if (((loadU(at & ~3u) >> ((at & 3u) * 8u)) & 255u) == 0u) { score = HIDDEN; }
  }
  return score;
}

// 2^x of weights: x far below 0 is 0, what is hidden has no weight at all.
fn weightOf(score: f32, reference: f32) -> f32 {
  let x = max(score - reference, -200.0);
  return select(exp2(x), 0.0, x < -100.0 || isHidden(score));
}
