import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, LOG2E, ONE, ROUND } from './constants';
import { exp2With } from './exp2';
import { tanh4 } from './tanh';

export const NONE: i32 = 0;
export const RELU: i32 = 1;
export const SILU: i32 = 2;
export const GELU_TANH: i32 = 3;

/** x / (1 + e^-x) on four lanes. */
function silu4(x: v128): v128 {
  // past 100 powers of two the quotient is below f32's smallest normal number
  const t = f32x4.pmin(f32x4.splat(100), f32x4.mul(x, f32x4.splat(-LOG2E)));
  const e = exp2With(
    t,
    v128.load(ROUND),
    v128.load(EXP2_1),
    v128.load(EXP2_2),
    v128.load(EXP2_3),
    v128.load(EXP2_4),
    v128.load(EXP2_5),
    v128.load(ONE),
    v128.load(EXP2_FLUSH),
  );
  return f32x4.div(x, f32x4.add(f32x4.splat(1), e));
}

/** x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) on four lanes. */
function geluTanh4(x: v128): v128 {
  const cubed = f32x4.mul(f32x4.mul(x, x), f32x4.mul(x, f32x4.splat(0.044715)));
  const t = tanh4(f32x4.mul(f32x4.splat(0.7978845608028654), f32x4.add(x, cubed)));
  return f32x4.mul(f32x4.mul(x, f32x4.splat(0.5)), f32x4.add(f32x4.splat(1), t));
}

/** An activation by number; NaN stays NaN. */
export function activate4(x: v128, activation: i32): v128 {
  if (activation == RELU) return v128.andnot(x, f32x4.lt(x, f32x4.splat(0)));
  if (activation == SILU) return silu4(x);
  if (activation == GELU_TANH) return geluTanh4(x);
  return x;
}
