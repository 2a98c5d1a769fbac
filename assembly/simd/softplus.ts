import { EXP_FLUSH, EXP_LN2_HIGH, EXP_LN2_LOW, EXP_LOG2E, EXP_P0, EXP_ROUND, EXP_TWO, LOG1P_P0 } from './constants';
import { exp4, expWith } from './exp';
import { log1p4, log1pWith } from './log4';

/** ln(1 + e^x) on four lanes, accurate for any size of x: x far above zero, e^x far below. */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  return f32x4.add(f32x4.pmax(x, i32x4.splat(0)), log1p4(exp4(f32x4.neg(f32x4.abs(x)))));
}

/** ln(1 / (1 + e^-x)) on four lanes, accurate for any size of x. */
// @ts-ignore: decorator
@inline
export function logSigmoid4(x: v128): v128 {
  return f32x4.neg(softplus4(f32x4.neg(x)));
}

/**
 * to[n] = e^-|from|, whole vectors: the first half of a softplus of many values, whose second is softplusWith. In one loop a
 * value's way through exponential and logarithm would be so long, and take so many constants, that few are under way at once.
 */
export function softplusExponentials(from: usize, to: usize, n: i32): void {
  const log2e = v128.load(EXP_LOG2E);
  const round = v128.load(EXP_ROUND);
  const ln2High = v128.load(EXP_LN2_HIGH);
  const ln2Low = v128.load(EXP_LN2_LOW);
  const p0 = v128.load(EXP_P0);
  const p1 = v128.load(EXP_P0, 16);
  const p2 = v128.load(EXP_P0, 32);
  const p3 = v128.load(EXP_P0, 48);
  const p4 = v128.load(EXP_P0, 64);
  const two = v128.load(EXP_TWO);
  const flush = v128.load(EXP_FLUSH);
  for (let left = n; left > 0; left -= 4) {
    const x = f32x4.neg(f32x4.abs(v128.load(from)));
    v128.store(to, expWith(x, log2e, round, ln2High, ln2Low, p0, p1, p2, p3, p4, two, flush));
    from += 16;
    to += 16;
  }
}

/** softplus of x on four lanes from e^-|x|, the constants as for log1pWith. */
// @ts-ignore: decorator
@inline
export function softplusWith(x: v128, exponential: v128, two: v128, p0: v128, p1: v128, p2: v128, p3: v128): v128 {
  return f32x4.add(f32x4.pmax(x, i32x4.splat(0)), log1pWith(exponential, two, p0, p1, p2, p3));
}
