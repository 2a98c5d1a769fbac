import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, ONE, ROUND } from './constants';
import { fma } from './fma';

/**
 * 2^x on four lanes, zero below `flush` (at least -126), infinity from 128 on, NaN for NaN. The coefficients come in as
 * arguments so that a loop keeps them in registers.
 */
// @ts-ignore: decorator
@inline
export function exp2With(
  x: v128,
  round: v128,
  e1: v128,
  e2: v128,
  e3: v128,
  e4: v128,
  e5: v128,
  one: v128,
  flush: v128,
): v128 {
  const shifted = f32x4.add(x, round);
  const r = f32x4.sub(x, f32x4.sub(shifted, round));
  const p = fma(fma(fma(fma(fma(e5, r, e4), r, e3), r, e2), r, e1), r, one);
  const scaled = f32x4.mul(p, i32x4.shl(shifted, 23));
  return v128.andnot(scaled, f32x4.lt(x, flush));
}

/** 2^x on four lanes, outside of hot loops: the coefficients are loaded anew. */
// @ts-ignore: decorator
@inline
export function exp24(x: v128): v128 {
  return exp2With(
    x,
    v128.load(ROUND),
    v128.load(EXP2_1),
    v128.load(EXP2_2),
    v128.load(EXP2_3),
    v128.load(EXP2_4),
    v128.load(EXP2_5),
    v128.load(ONE),
    v128.load(EXP2_FLUSH),
  );
}

/** 2^x of one value, by the same polynomial. */
export function exp2(x: f32): f32 {
  return f32x4.extract_lane(exp24(f32x4.splat(x)), 0);
}
