import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, LOG2E, ONE, ROUND } from './constants';
import { exp24, exp2With } from './exp2';

export const NONE: i32 = 0;
export const RELU: i32 = 1;
export const SILU: i32 = 2;
export const GELU_TANH: i32 = 3;

/** x / (1 + 2^t) on four lanes. */
function divided(x: v128, t: v128): v128 {
  // 2^128 is infinite: the quotient is zero
  const e = exp24(f32x4.pmin(f32x4.splat(128), t));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), e));
}

/** x / (1 + e^-x) on four lanes. */
function silu4(x: v128): v128 {
  return divided(x, f32x4.mul(x, f32x4.splat(-LOG2E)));
}

/** x/2 (1 + tanh(u)) = x / (1 + e^-2u) on four lanes, u = sqrt(2/pi) (x + 0.044715 x^3). */
function geluTanh4(x: v128): v128 {
  const cubed = f32x4.mul(f32x4.mul(x, x), f32x4.mul(x, f32x4.splat(0.044715)));
  return divided(x, f32x4.mul(f32x4.splat(-2.302208198144325), f32x4.add(x, cubed)));
}

/** An activation by number; NaN stays NaN. */
export function activate4(x: v128, activation: i32): v128 {
  if (activation == RELU) return v128.andnot(x, f32x4.lt(x, f32x4.splat(0)));
  if (activation == SILU) return silu4(x);
  if (activation == GELU_TANH) return geluTanh4(x);
  return x;
}

/** x / (1 + e^-x) of n values in place. */
export function siluRow(x: usize, n: i32): void {
  const minusLog2e = f32x4.splat(-LOG2E);
  const most = f32x4.splat(128);
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  for (; n > 0; n -= 4) {
    const y = v128.load(x);
    // 2^128 is infinite: the quotient is zero
    const t = f32x4.pmin(most, f32x4.mul(y, minusLog2e));
    const value = f32x4.div(y, f32x4.add(one, exp2With(t, round, e1, e2, e3, e4, e5, one, flush)));
    if (n >= 4) {
      v128.store(x, value);
    } else {
      store<f32>(x, f32x4.extract_lane(value, 0));
      if (n > 1) store<f32>(x, f32x4.extract_lane(value, 1), 4);
      if (n > 2) store<f32>(x, f32x4.extract_lane(value, 2), 8);
    }
    x += 16;
  }
}
