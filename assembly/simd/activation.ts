import { LOG2E } from './constants';
import { exp24 } from './exp2';

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
