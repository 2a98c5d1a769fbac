import { EXP_FLUSH, EXP_LN2_HIGH, EXP_LN2_LOW, EXP_LOG2E, EXP_MAX, EXP_P0, EXP_ROUND, EXP_TWO } from './constants';
import { fma } from './fma';

/**
 * e^x on four lanes, at most 2 ulp: infinity from 88.73 on, zero below -86.9 (where the result nears the smallest normal
 * number), NaN for NaN.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const t = f32x4.pmin(x, v128.load(EXP_MAX));
  const round = v128.load(EXP_ROUND);
  const shifted = fma(t, v128.load(EXP_LOG2E), round);
  const n = f32x4.sub(shifted, round);
  const r = fma(n, v128.load(EXP_LN2_LOW), fma(n, v128.load(EXP_LN2_HIGH), t));
  let p = fma(v128.load(EXP_P0, 64), r, v128.load(EXP_P0, 48));
  p = fma(p, r, v128.load(EXP_P0, 32));
  p = fma(p, r, v128.load(EXP_P0, 16));
  p = fma(p, r, v128.load(EXP_P0));
  const two = v128.load(EXP_TWO);
  p = fma(fma(p, r, two), r, two);
  return v128.andnot(f32x4.mul(p, i32x4.shl(shifted, 23)), f32x4.lt(x, v128.load(EXP_FLUSH)));
}

/** e^x of one value, by the same polynomial. */
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}
