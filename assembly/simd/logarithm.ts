import { ARTANH, LN2_4, LOG2E_4, MAGNITUDE, ONE, STATE_FLUSH } from './constants';
import { exp24 } from './exp2';
import { fma } from './fma';

/** ln(1 + f) on four lanes for 1 + f from 1/2 to 2: 2 artanh(s) with s = f / (2 + f). */
// @ts-ignore: decorator
@inline
export function log1p4(f: v128): v128 {
  const s = f32x4.div(f, f32x4.add(v128.load(ARTANH), f));
  const t = f32x4.mul(s, s);
  let p = fma(v128.load(ARTANH, 96), t, v128.load(ARTANH, 80));
  p = fma(p, t, v128.load(ARTANH, 64));
  p = fma(p, t, v128.load(ARTANH, 48));
  p = fma(p, t, v128.load(ARTANH, 32));
  p = fma(p, t, v128.load(ARTANH, 16));
  p = fma(p, t, v128.load(ARTANH));
  return f32x4.mul(p, s);
}

/** ln x of four positive normal values. */
export function log4(x: v128): v128 {
  // the mantissa from sqrt(1/2) to sqrt(2), so that logarithms near 0 stay exact
  const shifted = i32x4.sub(x, i32x4.splat(0x3f3504f3));
  const exponent = i32x4.shr_s(shifted, 23);
  const mantissa = i32x4.sub(x, i32x4.shl(exponent, 23));
  const fraction = log1p4(f32x4.sub(mantissa, v128.load(ONE)));
  return fma(f32x4.convert_i32x4_s(exponent), v128.load(LN2_4), fraction);
}

/** ln(1 + e^x) on four lanes, exact to a few units in the last place on both sides of 0. */
// @ts-ignore: decorator
@inline
export function softplus4(x: v128): v128 {
  const t = f32x4.mul(f32x4.abs(x), v128.load(LOG2E_4));
  const small = log1p4(exp24(f32x4.neg(t)));
  // the zero comes second: NaN stays
  return f32x4.add(f32x4.pmax(x, i32x4.splat(0)), small);
}

/** Values of a state below 2^-100 to zero: they would become denormal, which is slow, and change no sum. */
// @ts-ignore: decorator
@inline
export function flushed4(x: v128): v128 {
  return v128.andnot(x, f32x4.lt(v128.and(x, v128.load(MAGNITUDE)), v128.load(STATE_FLUSH)));
}
