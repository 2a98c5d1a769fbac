import { ONE } from './constants';
import { exp4 } from './exp';

/** 1 / (1 + e^-x) on four lanes. */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = v128.load(ONE);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}
