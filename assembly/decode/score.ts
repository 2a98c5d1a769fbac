import { HALF_FIELDS, HALF_MAGNITUDES, ONES_8, UPPER_16 } from '../simd/constants';
import { fma } from '../simd/fma';
import { maxOrNaN4, sum4, sum4x2, sum4x4 } from '../simd/reduce';

/** Scores of one row of the tile of 64, in bytes. */
const ROW: usize = 256;

/**
 * out[j] = q k_j for n keys, one query.
 *
 *   q      f32 [d]      d a multiple of 4
 *   k      f32 [n, d]   rows `stride` bytes apart
 *
 * Two keys at a time, each read line by line: the memory's own read-ahead follows no more than a few streams.
 */
export function scoreF32(q: usize, k: usize, stride: usize, out: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const lines = bytes & ~63;
  for (; n >= 2; n -= 2) {
    const next = k + stride;
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let t0 = s0;
    let t1 = s0;
    let i: usize = 0;
    for (; i < lines; i += 64) {
      const x0 = v128.load(q + i);
      const x1 = v128.load(q + i, 16);
      const x2 = v128.load(q + i, 32);
      const x3 = v128.load(q + i, 48);
      s0 = fma(x0, v128.load(k + i), s0);
      s1 = fma(x1, v128.load(k + i, 16), s1);
      s0 = fma(x2, v128.load(k + i, 32), s0);
      s1 = fma(x3, v128.load(k + i, 48), s1);
      t0 = fma(x0, v128.load(next + i), t0);
      t1 = fma(x1, v128.load(next + i, 16), t1);
      t0 = fma(x2, v128.load(next + i, 32), t0);
      t1 = fma(x3, v128.load(next + i, 48), t1);
    }
    for (; i < bytes; i += 16) {
      const x = v128.load(q + i);
      s0 = fma(x, v128.load(k + i), s0);
      t0 = fma(x, v128.load(next + i), t0);
    }
    v128.store64_lane(out, sum4x2(f32x4.add(s0, s1), f32x4.add(t0, t1)), 0);
    out += 8;
    k = next + stride;
  }
  if (n == 0) return;
  let s = i32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) s = fma(v128.load(q + i), v128.load(k + i), s);
  store<f32>(out, sum4(s));
}

/** Stores lane r at row r of the score tile. */
// @ts-ignore: decorator
@inline
function storeColumn(out: usize, x: v128): void {
  v128.store_lane<f32>(out, x, 0);
  v128.store_lane<f32>(out, x, 1, ROW);
  v128.store_lane<f32>(out, x, 2, ROW * 2);
  v128.store_lane<f32>(out, x, 3, ROW * 3);
}

/**
 * out[r][j] = q_r k_j for n keys and four queries: each key is loaded once for all four.
 *
 *   q    f32 [4, d]    d a multiple of 4
 *   k    f32 [n, d]    rows `stride` bytes apart
 *   out  f32 [4, 64]
 */
export function scoreF32x4(q: usize, k: usize, stride: usize, out: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const q1 = q + bytes;
  const q2 = q1 + bytes;
  const q3 = q2 + bytes;
  let j = 0;
  for (; j + 2 <= n; j += 2) {
    const next = k + stride;
    let s00 = i32x4.splat(0);
    let s10 = s00;
    let s20 = s00;
    let s30 = s00;
    let s01 = s00;
    let s11 = s00;
    let s21 = s00;
    let s31 = s00;
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(k + i);
      const y = v128.load(next + i);
      let row = v128.load(q + i);
      s00 = fma(row, x, s00);
      s01 = fma(row, y, s01);
      row = v128.load(q1 + i);
      s10 = fma(row, x, s10);
      s11 = fma(row, y, s11);
      row = v128.load(q2 + i);
      s20 = fma(row, x, s20);
      s21 = fma(row, y, s21);
      row = v128.load(q3 + i);
      s30 = fma(row, x, s30);
      s31 = fma(row, y, s31);
    }
    storeColumn(out, sum4x4(s00, s10, s20, s30));
    storeColumn(out + 4, sum4x4(s01, s11, s21, s31));
    out += 8;
    k = next + stride;
  }
  if (j < n) {
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(k + i);
      s0 = fma(v128.load(q + i), x, s0);
      s1 = fma(v128.load(q1 + i), x, s1);
      s2 = fma(v128.load(q2 + i), x, s2);
      s3 = fma(v128.load(q3 + i), x, s3);
    }
    storeColumn(out, sum4x4(s0, s1, s2, s3));
  }
}

/** Even and odd elements of each eight, from their natural order. */
export function splitEights(x: usize, d: i32): void {
  for (const end = x + ((<usize>d) << 2); x < end; x += 32) {
    const a = v128.load(x);
    const b = v128.load(x, 16);
    v128.store(x, i32x4.shuffle(a, b, 0, 2, 4, 6));
    v128.store(x, i32x4.shuffle(a, b, 1, 3, 5, 7), 16);
  }
}

/** Even and odd elements of eight 16-bit floats as f32: halves are 2^112 too small. */
// @ts-ignore: decorator
@inline
export function evenOf(x: v128, fields: v128, half: bool): v128 {
  return half ? v128.and(i32x4.shr_s(i32x4.shl(x, 16), 3), fields) : i32x4.shl(x, 16);
}

// @ts-ignore: decorator
@inline
export function oddOf(x: v128, fields: v128, half: bool): v128 {
  return v128.and(half ? i32x4.shr_s(x, 3) : x, fields);
}

/** Magnitudes at most 0x7bff are numbers. */
const LARGEST_HALF: i16 = 0x7bff;
/** One of so many subnormals is borne: each can cost as much as this many products. */
const SUBNORMAL_SHARE: i32 = 64;

/** Count of the halves seen whose magnitude is that of a subnormal, but not zero, which comes out as the largest. */
// @ts-ignore: decorator
@inline
export function countSubnormals(count: v128, magnitudes: v128): v128 {
  return i16x8.sub(count, i16x8.lt_u(i16x8.add(magnitudes, i32x4.splat(-1)), i16x8.splat(0x3ff)));
}

/**
 * Whether halves could be shifted into place: f32 takes infinities and NaN shifted so for large numbers, and subnormals for denormals,
 * which are right but slow, and so must be few.
 *
 *   highest     i16 [8]   largest magnitudes
 *   subnormals  u16 [8]   how many there were among `seen` halves
 */
// @ts-ignore: decorator
@inline
export function plainHalves(highest: v128, subnormals: v128, seen: i32): bool {
  if (v128.any_true(i16x8.gt_s(highest, i16x8.splat(LARGEST_HALF)))) return false;
  const count = i32x4.extadd_pairwise_i16x8_u(subnormals);
  const pairs = i32x4.add(count, i32x4.shuffle(count, count, 2, 3, 0, 1));
  return (i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)) * SUBNORMAL_SHARE <= seen;
}

// @ts-ignore: decorator
@inline
function scoreEights(q: usize, k: usize, stride: usize, out: usize, n: i32, d: i32, half: bool): bool {
  const bytes = (<usize>d) << 1;
  const fields = v128.load(half ? HALF_FIELDS : UPPER_16);
  const magnitude = v128.load(HALF_MAGNITUDES);
  let highest = i32x4.splat(0);
  let subnormals = i32x4.splat(0);
  const seen = ((n + 1) >> 1) * d;
  for (; n >= 2; n -= 2) {
    const next = k + stride;
    let even0 = i32x4.splat(0);
    let even1 = even0;
    let odd0 = even0;
    let odd1 = even0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const qEven = v128.load(q + (i << 1));
      const qOdd = v128.load(q + (i << 1), 16);
      const x = v128.load(k + i);
      even0 = fma(qEven, evenOf(x, fields, half), even0);
      odd0 = fma(qOdd, oddOf(x, fields, half), odd0);
      const y = v128.load(next + i);
      even1 = fma(qEven, evenOf(y, fields, half), even1);
      odd1 = fma(qOdd, oddOf(y, fields, half), odd1);
      if (half) {
        const m = v128.and(x, magnitude);
        subnormals = countSubnormals(subnormals, m);
        highest = i16x8.max_s(i16x8.max_s(highest, m), v128.and(y, magnitude));
      }
    }
    v128.store64_lane(out, sum4x2(f32x4.add(even0, odd0), f32x4.add(even1, odd1)), 0);
    out += 8;
    k = next + stride;
  }
  if (n > 0) {
    let s = i32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(k + i);
      s = fma(v128.load(q + (i << 1)), evenOf(x, fields, half), s);
      s = fma(v128.load(q + (i << 1), 16), oddOf(x, fields, half), s);
      if (half) {
        const m = v128.and(x, magnitude);
        subnormals = countSubnormals(subnormals, m);
        highest = i16x8.max_s(highest, m);
      }
    }
    store<f32>(out, sum4(s));
  }
  return !half || plainHalves(highest, subnormals, seen);
}

/**
 * out[j] = q k_j for n bfloat16 keys, one query.
 *
 *   q  f32 [d]       d a multiple of 8; each eight as [even four, odd four]
 *   k  bf16 [n, d]   rows `stride` bytes apart
 */
export function scoreBf16(q: usize, k: usize, stride: usize, out: usize, n: i32, d: i32): void {
  scoreEights(q, k, stride, out, n, d, false);
}

/** As scoreBf16 for f16 keys: q is to be 2^112 times as large. Whether they were `plainHalves`: out is no good if not. */
export function scoreF16(q: usize, k: usize, stride: usize, out: usize, n: i32, d: i32): bool {
  return scoreEights(q, k, stride, out, n, d, true);
}

/** Sums of four vectors of integers, as floats. */
// @ts-ignore: decorator
@inline
function sumIntegers4x4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(i32x4.shuffle(a, b, 0, 1, 4, 5), i32x4.shuffle(a, b, 2, 3, 6, 7));
  const cd = i32x4.add(i32x4.shuffle(c, d, 0, 1, 4, 5), i32x4.shuffle(c, d, 2, 3, 6, 7));
  return f32x4.convert_i32x4_s(i32x4.add(i32x4.shuffle(ab, cd, 0, 2, 4, 6), i32x4.shuffle(ab, cd, 1, 3, 5, 7)));
}

/** Largest magnitude of f32 [n], n a multiple of 4; NaN if any value is. */
function largestMagnitude(x: usize, n: i32): f32 {
  let highest = i32x4.splat(0);
  for (const end = x + ((<usize>n) << 2); x < end; x += 16) highest = f32x4.max(highest, f32x4.abs(v128.load(x)));
  return maxOrNaN4(highest);
}

/** Eight values times `factor`, rounded, as i16. */
// @ts-ignore: decorator
@inline
export function roundEight(x: usize, factor: v128): v128 {
  const low = f32x4.nearest(f32x4.mul(factor, v128.load(x)));
  const high = f32x4.nearest(f32x4.mul(factor, v128.load(x, 16)));
  return i16x8.narrow_i32x4_s(i32x4.trunc_sat_f32x4_s(low), i32x4.trunc_sat_f32x4_s(high));
}

/** Stores eight 14-bit values as their upper and lower seven bits, `apart` bytes between. */
// @ts-ignore: decorator
@inline
export function storeLevels(dst: usize, apart: usize, x: v128): void {
  const upper = i16x8.shr_u(x, 7);
  const lower = v128.and(x, i16x8.splat(127));
  v128.store_lane<u64>(dst, i8x16.narrow_i16x8_u(upper, upper), 0);
  v128.store_lane<u64>(dst + apart, i8x16.narrow_i16x8_u(lower, lower), 0);
}

/**
 * dst = the query as whole numbers, from f32 [d], d a multiple of 16; returns their unit, NaN where a query is.
 *
 *   i16 [d]      |q| <= 32767 (16383 above 512 dimensions): sums of products with codes stay below 2^31
 *   u7 [2, d]    if `levels`: q + 8192 = 128 upper + lower, the operand range of the relaxed dot product
 */
export function quantiseQuery(x: usize, dst: usize, d: i32, levels: bool): f32 {
  const steps: f32 = levels ? 8191 : d <= 512 ? 32767 : 16383;
  const most = largestMagnitude(x, d);
  const usable = most > 0 && most < Infinity;
  const factor = f32x4.splat(usable ? steps / most : 0);
  for (let i: usize = 0; i < <usize>d; i += 8) {
    const q = roundEight(x + (i << 2), factor);
    if (levels) storeLevels(dst + i, <usize>d, i16x8.add(q, i16x8.splat(8192)));
    else v128.store(dst + (i << 1), q);
  }
  return usable ? most / steps : most;
}

/** Products of 16 codes with 16 query elements, added to four 32-bit sums. */
// @ts-ignore: decorator
@inline
function dotCodes(codes: v128, q0: v128, q1: v128, sum: v128): v128 {
  const low = i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(codes), q0);
  return i32x4.add(i32x4.add(sum, low), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(codes), q1));
}

/**
 * out[j] = unit * q k_j for n int8 keys, one query, in exact integer arithmetic.
 *
 *   q  i16 [d] as quantiseQuery gives it; d a multiple of 16
 *   k  i8 [n, d]   rows `stride` bytes apart
 */
export function scoreI8(q: usize, unit: f32, k: usize, stride: usize, out: usize, n: i32, d: i32): void {
  const bytes = <usize>d;
  const factor = f32x4.splat(unit);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const k1 = k + stride;
    const k2 = k1 + stride;
    const k3 = k2 + stride;
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const q0 = v128.load(q + (i << 1));
      const q1 = v128.load(q + (i << 1), 16);
      s0 = dotCodes(v128.load(k + i), q0, q1, s0);
      s1 = dotCodes(v128.load(k1 + i), q0, q1, s1);
      s2 = dotCodes(v128.load(k2 + i), q0, q1, s2);
      s3 = dotCodes(v128.load(k3 + i), q0, q1, s3);
    }
    v128.store(out, f32x4.mul(factor, sumIntegers4x4(s0, s1, s2, s3)));
    out += 16;
    k = k3 + stride;
  }
  const zero = i32x4.splat(0);
  for (; j < n; ++j) {
    let s = zero;
    for (let i: usize = 0; i < bytes; i += 16) {
      s = dotCodes(v128.load(k + i), v128.load(q + (i << 1)), v128.load(q + (i << 1), 16), s);
    }
    store<f32>(out, unit * f32x4.extract_lane(sumIntegers4x4(s, zero, zero, zero), 0));
    out += 4;
    k += stride;
  }
}

/** Sums of one key's codes with the upper level, the lower level and ones, joined to the product with q. */
// @ts-ignore: decorator
@inline
function dotLevels(q: usize, ones: v128, k: usize, bytes: usize): v128 {
  let upper = i32x4.splat(0);
  let lower = upper;
  let codes = upper;
  for (let i: usize = 0; i < bytes; i += 16) {
    const x = v128.load(k + i);
    upper = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, v128.load(q + i), upper);
    lower = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, v128.load(q + bytes + i), lower);
    codes = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, ones, codes);
  }
  return i32x4.add(lower, i32x4.sub(i32x4.shl(upper, 7), i32x4.shl(codes, 13)));
}

/** As scoreI8, on the relaxed dot product of 8-bit integers: q u7 [2, d]. Relaxed builds only. */
export function scoreI8Dot(q: usize, unit: f32, k: usize, stride: usize, out: usize, n: i32, d: i32): void {
  const bytes = <usize>d;
  const factor = f32x4.splat(unit);
  const ones = v128.load(ONES_8);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const s0 = dotLevels(q, ones, k, bytes);
    const s1 = dotLevels(q, ones, k + stride, bytes);
    const s2 = dotLevels(q, ones, k + stride * 2, bytes);
    const s3 = dotLevels(q, ones, k + stride * 3, bytes);
    v128.store(out, f32x4.mul(factor, sumIntegers4x4(s0, s1, s2, s3)));
    out += 16;
    k += stride << 2;
  }
  const zero = i32x4.splat(0);
  for (; j < n; ++j) {
    const s = dotLevels(q, ones, k, bytes);
    store<f32>(out, unit * f32x4.extract_lane(sumIntegers4x4(s, zero, zero, zero), 0));
    out += 4;
    k += stride;
  }
}
