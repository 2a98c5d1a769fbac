import { EXP_FLUSH, EXP_LN2_HIGH, EXP_LN2_LOW, EXP_LOG2E, EXP_MAX, EXP_P0, EXP_ROUND, EXP_TWO } from './constants';
import { fma } from './fma';

/**
 * e^x on four lanes of at most 89, as exp4. The constants come in as arguments so that a loop keeps them in registers; `p`
 * are EXP_P0 and its four followers.
 */
// @ts-ignore: decorator
@inline
export function expWith(
  x: v128,
  log2e: v128,
  round: v128,
  ln2High: v128,
  ln2Low: v128,
  p0: v128,
  p1: v128,
  p2: v128,
  p3: v128,
  p4: v128,
  two: v128,
  flush: v128,
): v128 {
  const shifted = fma(x, log2e, round);
  const n = f32x4.sub(shifted, round);
  const r = fma(n, ln2Low, fma(n, ln2High, x));
  const p = fma(fma(fma(fma(p4, r, p3), r, p2), r, p1), r, p0);
  const twice = fma(fma(p, r, two), r, two);
  return v128.andnot(f32x4.mul(twice, i32x4.shl(shifted, 23)), f32x4.lt(x, flush));
}

/**
 * e^x on four lanes, at most 2 ulp: infinity from 88.73 on, zero below -86.9 (where the result nears the smallest normal
 * number), NaN for NaN.
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  return expWith(
    f32x4.pmin(x, v128.load(EXP_MAX)),
    v128.load(EXP_LOG2E),
    v128.load(EXP_ROUND),
    v128.load(EXP_LN2_HIGH),
    v128.load(EXP_LN2_LOW),
    v128.load(EXP_P0),
    v128.load(EXP_P0, 16),
    v128.load(EXP_P0, 32),
    v128.load(EXP_P0, 48),
    v128.load(EXP_P0, 64),
    v128.load(EXP_TWO),
    v128.load(EXP_FLUSH),
  );
}

/** e^x of one value, by the same polynomial. */
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}
