import {
  EXP_LN2_HIGH,
  EXP_LN2_LOW,
  EXP_TWO,
  LOG1P_P0,
  LOG_FIELDS,
  LOG_MAX,
  LOG_MIN,
  LOG_P0,
  LOG_SPLIT,
} from './constants';
import { fma } from './fma';

/** ln(x 2^-shift) of positive normal lanes. */
// @ts-ignore: decorator
@inline
function logNormal(x: v128, shift: v128): v128 {
  // the exponent that leaves a factor from sqrt(1/2) to sqrt(2)
  const fields = v128.and(i32x4.sub(x, v128.load(LOG_SPLIT)), v128.load(LOG_FIELDS));
  const f = f32x4.sub(i32x4.sub(x, fields), f32x4.splat(1));
  // negative, as the parts of ln 2 are
  const n = f32x4.convert_i32x4_s(i32x4.sub(shift, i32x4.shr_s(fields, 23)));
  let p = fma(v128.load(LOG_P0, 96), f, v128.load(LOG_P0, 80));
  p = fma(p, f, v128.load(LOG_P0, 64));
  p = fma(p, f, v128.load(LOG_P0, 48));
  p = fma(p, f, v128.load(LOG_P0, 32));
  p = fma(p, f, v128.load(LOG_P0, 16));
  p = fma(p, f, v128.load(LOG_P0));
  const square = f32x4.mul(f, f);
  const tail = fma(f32x4.mul(p, f), square, f32x4.mul(square, f32x4.splat(-0.5)));
  const low = fma(n, v128.load(EXP_LN2_LOW), tail);
  return fma(n, v128.load(EXP_LN2_HIGH), f32x4.add(f, low));
}

/** ln on lanes of which some are zero, subnormal, negative, infinite or NaN. */
function logAny(x: v128): v128 {
  const small = f32x4.lt(x, v128.load(LOG_MIN));
  const raised = v128.bitselect(f32x4.mul(x, f32x4.splat(8388608)), x, small);
  const y = logNormal(raised, v128.and(small, i32x4.splat(23)));
  const finite = v128.and(f32x4.gt(x, i32x4.splat(0)), f32x4.lt(x, v128.load(LOG_MAX)));
  // the root of a negative value is NaN, of infinity and NaN itself
  const special = v128.bitselect(f32x4.splat(-Infinity), f32x4.sqrt(x), f32x4.eq(x, i32x4.splat(0)));
  return v128.bitselect(y, special, finite);
}

/** ln x on four lanes, at most 2 ulp, subnormals included: -Infinity at 0, NaN below it and for NaN. */
export function log4(x: v128): v128 {
  const normal = v128.and(f32x4.ge(x, v128.load(LOG_MIN)), f32x4.lt(x, v128.load(LOG_MAX)));
  if (i32x4.all_true(normal)) return logNormal(x, i32x4.splat(0));
  return logAny(x);
}

/** ln(1 + u) on four lanes, as log1p4, the constants as arguments: `p` are LOG1P_P0 and its three followers. */
// @ts-ignore: decorator
@inline
export function log1pWith(u: v128, two: v128, p0: v128, p1: v128, p2: v128, p3: v128): v128 {
  const s = f32x4.div(u, f32x4.add(u, two));
  const z = f32x4.mul(s, s);
  const p = fma(fma(fma(p3, z, p2), z, p1), z, p0);
  return fma(f32x4.mul(p, z), s, f32x4.mul(s, two));
}

/** ln(1 + u) on four lanes of 0 <= u <= 1, at most 3 ulp; NaN for NaN. */
// @ts-ignore: decorator
@inline
export function log1p4(u: v128): v128 {
  return log1pWith(
    u,
    v128.load(EXP_TWO),
    v128.load(LOG1P_P0),
    v128.load(LOG1P_P0, 16),
    v128.load(LOG1P_P0, 32),
    v128.load(LOG1P_P0, 48),
  );
}
