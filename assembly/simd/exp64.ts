// f64 exponentials for coefficients that powers are taken of: an f32's rounding would grow with the power.

/** e^x to about 1 ulp of f64; zero below -708, infinity above 709. */
export function exp64(x: f64): f64 {
  if (x < -708) return 0;
  if (x > 709) return Infinity;
  const n = nearest(x * 1.4426950408889634);
  const r = x - n * 0.693147180369123816 - n * 1.9082149292705877e-10;
  let p: f64 = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * reinterpret<f64>((<i64>n + 1023) << 52);
}

/** Writes the f64 pair (cos x, sin x); |x| up to about 1e6 keeps an f64's precision. */
export function turn64(x: f64, to: usize): void {
  const k = nearest(x * 0.6366197723675814);
  const r = x - k * 1.57079632673412561417 - k * 6.0771005063039659766e-11 - k * 2.02226624879595063154e-21;
  const z = r * r;
  let s: f64 = 1.58969099521155010221e-10;
  s = s * z - 2.50507602534068634195e-8;
  s = s * z + 2.75573137070700676789e-6;
  s = s * z - 1.98412698298579493134e-4;
  s = s * z + 8.33333333332248946124e-3;
  s = s * z - 1.66666666666666324348e-1;
  s = r + r * z * s;
  let c: f64 = -1.13596475577881948265e-11;
  c = c * z + 2.0875723212981748279e-9;
  c = c * z - 2.75573143513906633035e-7;
  c = c * z + 2.48015872894767294178e-5;
  c = c * z - 1.38888888888741095749e-3;
  c = c * z + 4.16666666666666019037e-2;
  c = 1 - 0.5 * z + z * z * c;
  const quadrant = (<i32>k) & 3;
  const swap = (quadrant & 1) != 0;
  const cosine = swap ? s : c;
  const sine = swap ? c : s;
  store<f64>(to, quadrant == 1 || quadrant == 2 ? -cosine : cosine);
  store<f64>(to, quadrant >= 2 ? -sine : sine, 8);
}
