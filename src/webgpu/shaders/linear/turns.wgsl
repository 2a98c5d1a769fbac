//! use decay
// Angles in turns, as exact as an f32 can show: built-ins may be off by 2^-11.

// tanh x.
fn exactTanh(x: f32) -> f32 {
  let fall = fall4(vec4f(-2.0 * abs(x))).x;
  return sign(x) * (fall / (2.0 - fall));
}

// Cosine and sine of x turns.
fn turned(x: f32) -> vec2f {
  let quarter = round(x * 4.0);
  let a = (x - quarter * 0.25) * 6.283185307179586;
  let a2 = a * a;
  let s = fma(a * a2, fma(a2, fma(a2, fma(a2, 2.7557319e-6, -1.984127e-4), 8.3333333e-3), -0.16666667), a);
  let c = fma(a2, fma(a2, fma(a2, fma(a2, fma(a2, -2.755732e-7, 2.4801587e-5), -1.3888889e-3), 4.1666667e-2), -0.5), 1.0);
  switch i32(quarter) & 3 {
    case 0: { return vec2f(c, s); }
    case 1: { return vec2f(-s, c); }
    case 2: { return vec2f(-c, -s); }
    default: { return vec2f(s, -c); }
  }
}
