//! use special
// tanh for any argument: the language's own may overflow, and is rough near 0.

fn tanhOf(x: f32) -> f32 {
  let a = min(abs(x), 16.0);
  let aa = a * a;
  let near = a * (1.0 + aa * (-1.0 / 3.0 + aa * (2.0 / 15.0 + aa * (-17.0 / 315.0 + aa * (62.0 / 2835.0)))));
  let far = 1.0 - 2.0 / (exp2(a * (2.0 * LOG2E)) + 1.0);
  let y = select(far, near, a < 0.3);
  return select(y, -y, x < 0.0);
}
