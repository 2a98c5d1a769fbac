// Sums of two floats, high and low, which together have twice an f32's digits.

// x, of which a compiler must not think that it knows where it comes from: p.groups is less than 2^31.
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ (p.groups >> 31u)); }

// a + b: the sum, and what it was rounded by.
fn exactSum(a: f32, b: f32) -> vec2f {
  let s = opaque(a + b);
  let fromB = opaque(s - a);
  return vec2f(s, (a - (s - fromB)) + (b - fromB));
}

fn addPairs(a: vec2f, b: vec2f) -> vec2f {
  let s = exactSum(a.x, b.x);
  let low = s.y + (a.y + b.y);
  let high = opaque(s.x + low);
  return vec2f(high, low - (high - s.x));
}

// The first half of x's digits.
fn upperHalf(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

// a b: the product, and what it was rounded by. By halves, since fma may round twice.
fn exactProduct(a: f32, b: f32) -> vec2f {
  let high = opaque(a * b);
  let a1 = upperHalf(a);
  let b1 = upperHalf(b);
  let a2 = a - a1;
  let b2 = b - b1;
  return vec2f(high, ((opaque(a1 * b1) - high) + opaque(a1 * b2) + opaque(a2 * b1)) + a2 * b2);
}
