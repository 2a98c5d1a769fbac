// Functions whose results are small differences of larger numbers if they are written as they are defined.

// ln(1 + e) for e from 0 to 1, by 2 artanh(e / (2 + e)).
fn log1pOf(e: f32) -> f32 {
  let z = e / (2.0 + e);
  let s = z * z;
  let rest = 1.0 / 3.0 + s * (0.2 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s * (1.0 / 11.0 + s * (1.0 / 13.0)))));
  return 2.0 * z * (1.0 + s * rest);
}

// ln(1 + e^x)
fn softplusOf(x: f32) -> f32 { return max(x, 0.0) + log1pOf(exp(-min(abs(x), 200.0))); }

// 1 - e^s for s <= 0
fn oneLessExp(s: f32) -> f32 {
  let series = -s * (1.0 + s * (0.5 + s * (1.0 / 6.0 + s * (1.0 / 24.0 + s * (1.0 / 120.0 + s * (1.0 / 720.0))))));
  return select(1.0 - exp(max(s, -200.0)), series, s > -0.3);
}
