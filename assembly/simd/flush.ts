import { LINEAR_FLUSH, MAGNITUDE } from './constants';

/** Values of a state below 2^-100 to zero: they would become denormal, which is slow, and change no sum. */
// @ts-ignore: decorator
@inline
export function flushed4(x: v128): v128 {
  return v128.andnot(x, f32x4.lt(v128.and(x, v128.load(MAGNITUDE)), v128.load(LINEAR_FLUSH)));
}
