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
 * to[n] = softplus(from), whole vectors, `to` may be `from`; `spare` is as long. Two loops: a value's way from exponential
 * through logarithm is so long, and takes so many constants, that in one loop the registers behind it all are in flight.
 */
export function softplusRow(from: usize, to: usize, spare: usize, n: i32): void {
  const bytes = ((<usize>(n + 3)) >> 2) << 4;
  const two = v128.load(EXP_TWO);
  const log2e = v128.load(EXP_LOG2E);
  const round = v128.load(EXP_ROUND);
  const ln2High = v128.load(EXP_LN2_HIGH);
  const ln2Low = v128.load(EXP_LN2_LOW);
  const p0 = v128.load(EXP_P0);
  const p1 = v128.load(EXP_P0, 16);
  const p2 = v128.load(EXP_P0, 32);
  const p3 = v128.load(EXP_P0, 48);
  const p4 = v128.load(EXP_P0, 64);
  const flush = v128.load(EXP_FLUSH);
  for (let at: usize = 0; at < bytes; at += 16) {
    const x = f32x4.neg(f32x4.abs(v128.load(from + at)));
    v128.store(spare + at, expWith(x, log2e, round, ln2High, ln2Low, p0, p1, p2, p3, p4, two, flush));
  }
  const q0 = v128.load(LOG1P_P0);
  const q1 = v128.load(LOG1P_P0, 16);
  const q2 = v128.load(LOG1P_P0, 32);
  const q3 = v128.load(LOG1P_P0, 48);
  for (let at: usize = 0; at < bytes; at += 16) {
    const log = log1pWith(v128.load(spare + at), two, q0, q1, q2, q3);
    v128.store(to + at, f32x4.add(f32x4.pmax(v128.load(from + at), i32x4.splat(0)), log));
  }
}
