import { STATE_FLUSH } from './constants';

/** Values of a state below `least` to zero: they would become denormal, which is slow, and change no sum; NaN stays. */
// @ts-ignore: decorator
@inline
export function flushedBelow(x: v128, least: v128): v128 {
  return v128.andnot(x, f32x4.lt(f32x4.abs(x), least));
}

/** Values of a state below 2^-100 to zero, outside of hot loops: the constant is loaded anew. */
// @ts-ignore: decorator
@inline
export function flushed4(x: v128): v128 {
  return flushedBelow(x, v128.load(STATE_FLUSH));
}
