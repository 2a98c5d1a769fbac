import { exp4 } from './exp';
import { log1p4 } from './log4';

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
