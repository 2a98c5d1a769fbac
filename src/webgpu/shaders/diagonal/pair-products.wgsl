//! use pair
// Products and quotients of pairs, and complex exponentials in pairs.

fn multiplyPairs(a: vec2f, b: vec2f) -> vec2f {
  let product = exactProduct(a.x, b.x);
  return exactSum(product.x, product.y + (a.x * b.y + a.y * b.x));
}

fn dividePairs(a: vec2f, b: vec2f) -> vec2f {
  let quotient = a.x / b.x;
  let product = multiplyPairs(b, vec2f(quotient, 0.0));
  let rest = addPairs(a, -product);
  return exactSum(quotient, (rest.x + rest.y) / b.x);
}

struct ComplexPair { re: vec2f, im: vec2f }

fn multiplyComplex(a: ComplexPair, b: ComplexPair) -> ComplexPair {
  return ComplexPair(
    addPairs(multiplyPairs(a.re, b.re), -multiplyPairs(a.im, b.im)),
    addPairs(multiplyPairs(a.re, b.im), multiplyPairs(a.im, b.re)));
}

// 2^n for -126 <= n <= 127
fn powerOfTwo(n: i32) -> f32 { return bitcast<f32>(u32(clamp(n, -126, 127) + 127) << 23u); }

// ln 2, pi / 2 and 1 / (2 pi), each as high and low part
const PAIR_LN2 = vec2f(0.693147182464599609375, -1.904654323148236e-9);
const PAIR_QUARTER = vec2f(1.57079637050628662109375, -4.371139000186241e-8);
const PAIR_TURN = vec2f(0.15915493667125701904296875, 6.420638276316e-9);

// e^z
fn exponential(z: ComplexPair) -> ComplexPair {
  let size = clamp(round(z.re.x * 1.4426950408889634), -126.0, 127.0);
  let quarters = round(z.im.x * 0.6366197723675814);
  let rest = ComplexPair(
    addPairs(z.re, -multiplyPairs(vec2f(size, 0.0), PAIR_LN2)),
    addPairs(z.im, -multiplyPairs(vec2f(quarters, 0.0), PAIR_QUARTER)));
  var sum = ComplexPair(vec2f(1.0, 0.0), vec2f());
  for (var k = 14; k > 0; k -= 1) {
    sum = multiplyComplex(sum, rest);
    let divisor = vec2f(f32(k), 0.0);
    sum = ComplexPair(addPairs(vec2f(1.0, 0.0), dividePairs(sum.re, divisor)), dividePairs(sum.im, divisor));
  }
  let factor = powerOfTwo(i32(size));
  let re = sum.re * factor;
  let im = sum.im * factor;
  switch (i32(quarters) & 3) {
    case 0: { return ComplexPair(re, im); }
    case 1: { return ComplexPair(-im, re); }
    case 2: { return ComplexPair(-re, -im); }
    default: { return ComplexPair(im, -re); }
  }
}
