// Two f64 lanes at a time, for angles that add up over many tokens.
import {
  TURN_COS,
  TURN_EXP,
  TURN_HALF_PI,
  TURN_INTEGER,
  TURN_LN2,
  TURN_LOG2E2,
  TURN_MOST,
  TURN_ONE,
  TURN_POWER,
  TURN_SIN,
  TURN_SIGN,
} from './constants';

/** tanh on two f64 lanes, to about 1e-13; NaN for NaN. */
// @ts-ignore: decorator
@inline
export function tanh2(x: v128): v128 {
  const one = v128.load(TURN_ONE);
  // e^-2|x| as 2^n e^r
  const t = f64x2.mul(f64x2.pmin(f64x2.abs(x), v128.load(TURN_MOST)), v128.load(TURN_LOG2E2));
  const n = f64x2.nearest(t);
  const r = f64x2.mul(f64x2.sub(t, n), v128.load(TURN_LN2));
  let e = v128.load(TURN_EXP);
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 16));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 32));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 48));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 64));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 80));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 96));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 112));
  e = f64x2.add(f64x2.mul(e, r), v128.load(TURN_EXP, 128));
  e = f64x2.add(f64x2.mul(e, r), one);
  e = f64x2.add(f64x2.mul(e, r), one);
  e = f64x2.mul(e, i64x2.shl(f64x2.add(n, v128.load(TURN_POWER)), 52));
  const y = f64x2.div(f64x2.sub(one, e), f64x2.add(one, e));
  return v128.bitselect(x, y, v128.load(TURN_SIGN));
}

/** Stores the cosines and the sines of two angles, turns in [0, 1] on f64 lanes, as pairs of f32. */
// @ts-ignore: decorator
@inline
export function turn2(turns: v128, cos: usize, sin: usize): void {
  const quarters = f64x2.add(f64x2.add(turns, turns), f64x2.add(turns, turns));
  const k = f64x2.nearest(quarters);
  const r = f64x2.mul(f64x2.sub(quarters, k), v128.load(TURN_HALF_PI));
  const z = f64x2.mul(r, r);
  let s = v128.load(TURN_SIN);
  s = f64x2.add(f64x2.mul(s, z), v128.load(TURN_SIN, 16));
  s = f64x2.add(f64x2.mul(s, z), v128.load(TURN_SIN, 32));
  s = f64x2.add(f64x2.mul(s, z), v128.load(TURN_SIN, 48));
  s = f64x2.add(f64x2.mul(f64x2.mul(s, z), r), r);
  let c = v128.load(TURN_COS);
  c = f64x2.add(f64x2.mul(c, z), v128.load(TURN_COS, 16));
  c = f64x2.add(f64x2.mul(c, z), v128.load(TURN_COS, 32));
  c = f64x2.add(f64x2.mul(c, z), v128.load(TURN_COS, 48));
  c = f64x2.add(f64x2.mul(c, z), v128.load(TURN_COS, 64));
  c = f64x2.add(f64x2.mul(c, z), v128.load(TURN_ONE));
  // adding 2^52 leaves an integer in the low bits: of the quarter, bit 0 swaps the two and bit 1 turns signs
  const quarter = f64x2.add(k, v128.load(TURN_INTEGER));
  const next = f64x2.add(f64x2.add(k, v128.load(TURN_ONE)), v128.load(TURN_INTEGER));
  const swap = i64x2.shr_s(i64x2.shl(quarter, 63), 63);
  const sign = v128.load(TURN_SIGN);
  const sines = v128.xor(v128.bitselect(c, s, swap), v128.and(i64x2.shl(quarter, 62), sign));
  const cosines = v128.xor(v128.bitselect(s, c, swap), v128.and(i64x2.shl(next, 62), sign));
  v128.store64_lane(cos, f32x4.demote_f64x2_zero(cosines), 0);
  v128.store64_lane(sin, f32x4.demote_f64x2_zero(sines), 0);
}
