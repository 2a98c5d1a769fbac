//! params NplrKernelParams
//! extra z: u32, frequencies: u32
//! use group, pair-products
// The generating functions of S4 kernels at the roots of unity e^(-2 pi i k / length), k = 0 to length / 2, by Cauchy sums and
// Woodbury's identity in pairs of floats.
//
//   tensors as of the kernel nplrKernel
//   z  f32 [frequencies, H, 2]
//
// With 2 (1 - omega) / (1 + omega) = i y, each sum over conjugate pairs v / (i y - w) + conj v / (i y - conj w) has a real quadratic
// denominator. Thread: one frequency of one channel.

// A pair from the f64 at an address.
fn pairAt(at: u32) -> vec2f {
  let low = loadU(at);
  let high = loadU(at + 4u);
  let exponent = i32((high >> 20u) & 2047u) - 1023;
  if (exponent < -100) { return vec2f(); }
  let sign = high & 0x80000000u;
  let first = bitcast<f32>(sign | (u32(min(exponent, 127) + 127) << 23u) | ((high & 0xfffffu) << 3u) | (low >> 29u));
  let rest = f32(low & 0x1fffffffu) * powerOfTwo(exponent - 52);
  return exactSum(first, select(rest, -rest, sign != 0u));
}

fn complexAt(base: u32, i: u32) -> vec2f { return vec2f(loadF(base + i * 8u), loadF(base + i * 8u + 4u)); }

// 2 Re v i y - 2 Re(v conj w) times the inverse of the denominator, v = a b.
fn term(a: vec2f, b: vec2f, w: ComplexPair, y: vec2f, inverse: ComplexPair) -> ComplexPair {
  let re = addPairs(exactProduct(a.x, b.x), -exactProduct(a.y, b.y));
  let im = addPairs(exactProduct(a.x, b.y), exactProduct(a.y, b.x));
  let alpha = -2.0 * addPairs(multiplyPairs(re, w.re), multiplyPairs(im, w.im));
  let beta = multiplyPairs(2.0 * re, y);
  return multiplyComplex(ComplexPair(alpha, beta), inverse);
}

fn addComplex(a: ComplexPair, b: ComplexPair) -> ComplexPair { return ComplexPair(addPairs(a.re, b.re), addPairs(a.im, b.im)); }

fn inverseOf(x: ComplexPair) -> ComplexPair {
  let size = addPairs(multiplyPairs(x.re, x.re), multiplyPairs(x.im, x.im));
  return ComplexPair(dividePairs(x.re, size), dividePairs(-x.im, size));
}

fn scaled(x: ComplexPair, factor: vec2f) -> ComplexPair { return ComplexPair(multiplyPairs(x.re, factor), multiplyPairs(x.im, factor)); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 64u + t;
  let channels = u32(p.channels);
  if (i >= p.frequencies * channels) { return; }
  let k = i / channels;
  let h = i - k * channels;
  let step = exponential(ComplexPair(vec2f(loadF(p.logDt + h * 4u), 0.0), vec2f())).re;
  let last = (p.length & 1) == 0 && k == u32(p.length) / 2u;
  let tangent = pairAt(p.tangents + k * 8u);
  let y = 2.0 * tangent;
  let yy = multiplyPairs(y, y);
  var r00 = ComplexPair(vec2f(), vec2f());
  var r01 = r00;
  var r10 = r00;
  var r11 = r00;
  for (var n = 0u; n < u32(p.states); n += 1u) {
    let at = h * u32(p.states) + n;
    let b = complexAt(p.b, at);
    let c = complexAt(p.c, at);
    if (last) {
      // at omega = -1 the sums vanish as the factor grows: their product is dt sum Re(B C)
      r00.re = addPairs(r00.re, addPairs(exactProduct(b.x, c.x), -exactProduct(b.y, c.y)));
      continue;
    }
    let q = complexAt(p.p, at);
    let w = ComplexPair(
      multiplyPairs(step, vec2f(loadF(p.aReal + at * 4u), 0.0)), multiplyPairs(step, vec2f(loadF(p.aImag + at * 4u), 0.0)));
    let size = addPairs(multiplyPairs(w.re, w.re), multiplyPairs(w.im, w.im));
    let inverse = inverseOf(ComplexPair(addPairs(size, -yy), multiplyPairs(-2.0 * w.re, y)));
    let conjugate = vec2f(q.x, -q.y);
    r00 = addComplex(r00, term(b, c, w, y, inverse));
    r01 = addComplex(r01, term(b, conjugate, w, y, inverse));
    r10 = addComplex(r10, term(q, c, w, y, inverse));
    r11 = addComplex(r11, term(q, conjugate, w, y, inverse));
  }
  if (last) {
    storeF(p.z + i * 8u, multiplyPairs(step, r00.re).x);
    storeF(p.z + i * 8u + 4u, 0.0);
    return;
  }
  let below = ComplexPair(addPairs(vec2f(1.0, 0.0), multiplyPairs(step, r11.re)), multiplyPairs(step, r11.im));
  // r00 - r01 r10 / (1 + r11)
  let rank1 = multiplyComplex(scaled(multiplyComplex(r01, r10), multiplyPairs(step, step)), inverseOf(below));
  let whole = scaled(r00, step);
  let difference = ComplexPair(addPairs(whole.re, -rank1.re), addPairs(whole.im, -rank1.im));
  // times 2 / (1 + omega) = 1 + i tan(theta / 2)
  let result = multiplyComplex(difference, ComplexPair(vec2f(1.0, 0.0), tangent));
  storeF(p.z + i * 8u, result.re.x);
  storeF(p.z + i * 8u + 4u, result.im.x);
}
