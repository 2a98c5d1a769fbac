// 1 - e^s for s <= 0, by its series where the difference would be small.
fn oneLessExp(s: f32) -> f32 {
  let series = -s * (1.0 + s * (0.5 + s * (1.0 / 6.0 + s * (1.0 / 24.0 + s * (1.0 / 120.0 + s * (1.0 / 720.0))))));
  return select(1.0 - exp(max(s, -200.0)), series, s > -0.3);
}
