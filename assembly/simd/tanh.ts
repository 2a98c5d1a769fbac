import { TANH_MAX, TANH_MIN, TANH_P0, TANH_Q1 } from './constants';
import { fma } from './fma';

/** tanh on four lanes: x P(x^2) / Q(x^2), at most 6 ulp; NaN for NaN. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const t = f32x4.pmax(f32x4.pmin(x, v128.load(TANH_MAX)), v128.load(TANH_MIN));
  const s = f32x4.mul(t, t);
  let p = fma(v128.load(TANH_P0, 80), s, v128.load(TANH_P0, 64));
  p = fma(p, s, v128.load(TANH_P0, 48));
  p = fma(p, s, v128.load(TANH_P0, 32));
  p = fma(p, s, v128.load(TANH_P0, 16));
  p = fma(p, s, v128.load(TANH_P0));
  let q = fma(v128.load(TANH_Q1, 32), s, v128.load(TANH_Q1, 16));
  q = fma(q, s, v128.load(TANH_Q1));
  q = fma(q, s, f32x4.splat(1));
  return f32x4.div(f32x4.mul(t, p), q);
}
