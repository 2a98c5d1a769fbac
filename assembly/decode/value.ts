import { HALF_FIELDS, HALF_MAGNITUDES, ROUND_INTEGER, UPPER_16 } from '../simd/constants';
import { fma } from '../simd/fma';
import { max4, sum4 } from '../simd/reduce';
import { countSubnormals, evenOf, oddOf, plainHalves, storeLevels } from './score';

/** Weights of no larger magnitude count as zeros: their unit would be no normal number. */
const LEAST: f32 = 1e-30;

/** Scores of one row of the tile of 64, in bytes. */
const ROW: usize = 256;

/**
 * acc += sum_j p_j v_j for n keys, one query, by twos as in scoreF32.
 *
 *   p    f32 [n]
 *   v    f32 [n, d]   d a multiple of 4, rows `stride` bytes apart
 *   acc  f32 [d]
 */
export function mixF32(p: usize, v: usize, stride: usize, acc: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const lines = bytes & ~63;
  for (; n >= 2; n -= 2) {
    const p0 = v128.load_splat<f32>(p);
    const p1 = v128.load_splat<f32>(p, 4);
    const next = v + stride;
    let i: usize = 0;
    for (; i < lines; i += 64) {
      let x0 = v128.load(acc + i);
      let x1 = v128.load(acc + i, 16);
      let x2 = v128.load(acc + i, 32);
      let x3 = v128.load(acc + i, 48);
      x0 = fma(p0, v128.load(v + i), x0);
      x1 = fma(p0, v128.load(v + i, 16), x1);
      x2 = fma(p0, v128.load(v + i, 32), x2);
      x3 = fma(p0, v128.load(v + i, 48), x3);
      x0 = fma(p1, v128.load(next + i), x0);
      x1 = fma(p1, v128.load(next + i, 16), x1);
      x2 = fma(p1, v128.load(next + i, 32), x2);
      x3 = fma(p1, v128.load(next + i, 48), x3);
      v128.store(acc + i, x0);
      v128.store(acc + i, x1, 16);
      v128.store(acc + i, x2, 32);
      v128.store(acc + i, x3, 48);
    }
    for (; i < bytes; i += 16) {
      v128.store(acc + i, fma(p1, v128.load(next + i), fma(p0, v128.load(v + i), v128.load(acc + i))));
    }
    p += 8;
    v = next + stride;
  }
  if (n == 0) return;
  const weight = v128.load_splat<f32>(p);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(acc + i, fma(weight, v128.load(v + i), v128.load(acc + i)));
}

/**
 * acc_r += sum_j p_rj v_j for n keys and four queries: each value is loaded once for all four.
 *
 *   p    f32 [4, 64]
 *   v    f32 [n, d]   d a multiple of 4, rows `stride` bytes apart
 *   acc  f32 [4, d]   rows `accStride` bytes apart
 */
export function mixF32x4(p: usize, v: usize, stride: usize, acc: usize, accStride: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const acc1 = acc + accStride;
  const acc2 = acc1 + accStride;
  const acc3 = acc2 + accStride;
  let j = 0;
  for (; j + 2 <= n; j += 2) {
    const next = v + stride;
    const p00 = v128.load_splat<f32>(p);
    const p01 = v128.load_splat<f32>(p, 4);
    const p10 = v128.load_splat<f32>(p, ROW);
    const p11 = v128.load_splat<f32>(p, ROW + 4);
    const p20 = v128.load_splat<f32>(p, ROW * 2);
    const p21 = v128.load_splat<f32>(p, ROW * 2 + 4);
    const p30 = v128.load_splat<f32>(p, ROW * 3);
    const p31 = v128.load_splat<f32>(p, ROW * 3 + 4);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(v + i);
      const y = v128.load(next + i);
      v128.store(acc + i, fma(p01, y, fma(p00, x, v128.load(acc + i))));
      v128.store(acc1 + i, fma(p11, y, fma(p10, x, v128.load(acc1 + i))));
      v128.store(acc2 + i, fma(p21, y, fma(p20, x, v128.load(acc2 + i))));
      v128.store(acc3 + i, fma(p31, y, fma(p30, x, v128.load(acc3 + i))));
    }
    p += 8;
    v = next + stride;
  }
  if (j < n) {
    const p0 = v128.load_splat<f32>(p);
    const p1 = v128.load_splat<f32>(p, ROW);
    const p2 = v128.load_splat<f32>(p, ROW * 2);
    const p3 = v128.load_splat<f32>(p, ROW * 3);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(v + i);
      v128.store(acc + i, fma(p0, x, v128.load(acc + i)));
      v128.store(acc1 + i, fma(p1, x, v128.load(acc1 + i)));
      v128.store(acc2 + i, fma(p2, x, v128.load(acc2 + i)));
      v128.store(acc3 + i, fma(p3, x, v128.load(acc3 + i)));
    }
  }
}

// @ts-ignore: decorator
@inline
function mixEights(p: usize, v: usize, stride: usize, acc: usize, n: i32, d: i32, half: bool): bool {
  const bytes = (<usize>d) << 1;
  const fields = v128.load(half ? HALF_FIELDS : UPPER_16);
  const magnitude = v128.load(HALF_MAGNITUDES);
  let highest = i32x4.splat(0);
  let subnormals = i32x4.splat(0);
  const seen = ((n >> 2) + (n & 3)) * d;
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const p0 = v128.load_splat<f32>(p);
    const p1 = v128.load_splat<f32>(p, 4);
    const p2 = v128.load_splat<f32>(p, 8);
    const p3 = v128.load_splat<f32>(p, 12);
    const v1 = v + stride;
    const v2 = v1 + stride;
    const v3 = v2 + stride;
    for (let i: usize = 0; i < bytes; i += 16) {
      let even = v128.load(acc + (i << 1));
      let odd = v128.load(acc + (i << 1), 16);
      let x = v128.load(v + i);
      even = fma(p0, evenOf(x, fields, half), even);
      odd = fma(p0, oddOf(x, fields, half), odd);
      if (half) {
        const m = v128.and(x, magnitude);
        subnormals = countSubnormals(subnormals, m);
        highest = i16x8.max_s(highest, m);
      }
      x = v128.load(v1 + i);
      even = fma(p1, evenOf(x, fields, half), even);
      odd = fma(p1, oddOf(x, fields, half), odd);
      if (half) highest = i16x8.max_s(highest, v128.and(x, magnitude));
      x = v128.load(v2 + i);
      even = fma(p2, evenOf(x, fields, half), even);
      odd = fma(p2, oddOf(x, fields, half), odd);
      if (half) highest = i16x8.max_s(highest, v128.and(x, magnitude));
      x = v128.load(v3 + i);
      even = fma(p3, evenOf(x, fields, half), even);
      odd = fma(p3, oddOf(x, fields, half), odd);
      if (half) highest = i16x8.max_s(highest, v128.and(x, magnitude));
      v128.store(acc + (i << 1), even);
      v128.store(acc + (i << 1), odd, 16);
    }
    p += 16;
    v = v3 + stride;
  }
  for (; j < n; ++j) {
    const weight = v128.load_splat<f32>(p);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(v + i);
      const at = acc + (i << 1);
      v128.store(at, fma(weight, evenOf(x, fields, half), v128.load(at)));
      v128.store(at, fma(weight, oddOf(x, fields, half), v128.load(at, 16)), 16);
      if (half) {
        const m = v128.and(x, magnitude);
        subnormals = countSubnormals(subnormals, m);
        highest = i16x8.max_s(highest, m);
      }
    }
    p += 4;
    v += stride;
  }
  return !half || plainHalves(highest, subnormals, seen);
}

/**
 * acc += sum_j p_j v_j for n bfloat16 values, one query.
 *
 *   p    f32 [n]
 *   v    bf16 [n, d]   d a multiple of 8, rows `stride` bytes apart
 *   acc  f32 [d]       each eight as [even four, odd four]
 */
export function mixBf16(p: usize, v: usize, stride: usize, acc: usize, n: i32, d: i32): void {
  mixEights(p, v, stride, acc, n, d, false);
}

/** As mixBf16 for f16 values: what is added is 2^-112 times as large. Whether they were `plainHalves`: acc is no good if not. */
export function mixF16(p: usize, v: usize, stride: usize, acc: usize, n: i32, d: i32): bool {
  return mixEights(p, v, stride, acc, n, d, true);
}

/**
 * dst = weights as whole numbers, from f32 [n] >= 0, n <= 64 padded with zeros to a multiple of 8; returns their unit,
 * NaN where a weight is.
 *
 *   i16 [n]       p <= 32767
 *   u7 [2, 64]    if `levels`: p = 128 upper + lower, the operand range of the relaxed dot product
 */
export function quantiseWeights(x: usize, dst: usize, n: i32, levels: bool): f32 {
  const steps: f32 = levels ? 16383 : 32767;
  const end = (<usize>n) << 2;
  let highest = i32x4.splat(0);
  let sum = highest;
  for (let i: usize = 0; i < end; i += 16) {
    const p = v128.load(x + i);
    highest = f32x4.pmax(highest, p);
    sum = f32x4.add(sum, p);
  }
  const most = max4(highest);
  const total = sum4(sum);
  const usable = most > LEAST && most < Infinity;
  const factor = f32x4.splat(usable ? steps / most : 0);
  // adding 1.5 * 2^23 leaves the whole number in the low bits
  const magic = v128.load(ROUND_INTEGER);
  for (let i: usize = 0; i < end; i += 32) {
    const low = i32x4.sub(fma(v128.load(x + i), factor, magic), magic);
    const high = i32x4.sub(fma(v128.load(x + i, 16), factor, magic), magic);
    const p = i16x8.narrow_i32x4_s(low, high);
    if (levels) storeLevels(dst + (i >> 2), 64, p);
    else v128.store(dst + (i >> 1), p);
  }
  return total != total ? total : usable ? most / steps : most == Infinity ? NaN : 0;
}

/** acc[16] += factor * the sums of 16 dimensions. */
// @ts-ignore: decorator
@inline
function addSums(acc: usize, factor: v128, s0: v128, s1: v128, s2: v128, s3: v128): void {
  v128.store(acc, fma(factor, f32x4.convert_i32x4_s(s0), v128.load(acc)));
  v128.store(acc, fma(factor, f32x4.convert_i32x4_s(s1), v128.load(acc, 16)), 16);
  v128.store(acc, fma(factor, f32x4.convert_i32x4_s(s2), v128.load(acc, 32)), 32);
  v128.store(acc, fma(factor, f32x4.convert_i32x4_s(s3), v128.load(acc, 48)), 48);
}

/**
 * acc += unit * sum_j p_j v_j for n int8 values, one query; the sum is exact integer arithmetic.
 *
 *   p    i16 [ceil2(n)] as quantiseWeights gives it
 *   v    i8 [n, d]    d a multiple of 16, rows `stride` bytes apart
 *   acc  f32 [d]
 */
export function mixI8(p: usize, unit: f32, v: usize, stride: usize, acc: usize, n: i32, d: i32): void {
  const factor = f32x4.splat(unit);
  for (let i: usize = 0; i < <usize>d; i += 16) {
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let row = v + i;
    let weights = p;
    for (let j = 0; j < n; j += 2) {
      const pair = v128.load_splat<u32>(weights);
      const x = v128.load(row);
      // the row past an odd end is weighted by zero
      const y = v128.load(j + 1 < n ? row + stride : row);
      const low = i8x16.shuffle(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const high = i8x16.shuffle(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      s0 = i32x4.add(s0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(low), pair));
      s1 = i32x4.add(s1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(low), pair));
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(high), pair));
      s3 = i32x4.add(s3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(high), pair));
      row += stride << 1;
      weights += 4;
    }
    addSums(acc + (i << 2), factor, s0, s1, s2, s3);
  }
}

/** As mixI8, on the relaxed dot product of 8-bit integers: p u7 [2, 64]. Relaxed builds only. */
export function mixI8Dot(p: usize, unit: f32, v: usize, stride: usize, acc: usize, n: i32, d: i32): void {
  const factor = f32x4.splat(unit);
  for (let i: usize = 0; i < <usize>d; i += 16) {
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let upper0 = s0;
    let upper1 = s0;
    let upper2 = s0;
    let upper3 = s0;
    let row = v + i;
    let weights = p;
    for (let j = 0; j < n; j += 4) {
      // rows past the end are weighted by zero: any row inside will do
      const left = n - j;
      const row1 = left > 1 ? row + stride : row;
      const row2 = left > 2 ? row1 + stride : row;
      const row3 = left > 3 ? row2 + stride : row;
      const a = v128.load(row);
      const b = v128.load(row1);
      const c = v128.load(row2);
      const e = v128.load(row3);
      // four keys of each dimension side by side
      const abLow = i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const abHigh = i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const ceLow = i8x16.shuffle(c, e, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const ceHigh = i8x16.shuffle(c, e, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      const upper = v128.load_splat<u32>(weights);
      const lower = v128.load_splat<u32>(weights, 64);
      let x = i16x8.shuffle(abLow, ceLow, 0, 8, 1, 9, 2, 10, 3, 11);
      upper0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, upper, upper0);
      s0 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, lower, s0);
      x = i16x8.shuffle(abLow, ceLow, 4, 12, 5, 13, 6, 14, 7, 15);
      upper1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, upper, upper1);
      s1 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, lower, s1);
      x = i16x8.shuffle(abHigh, ceHigh, 0, 8, 1, 9, 2, 10, 3, 11);
      upper2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, upper, upper2);
      s2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, lower, s2);
      x = i16x8.shuffle(abHigh, ceHigh, 4, 12, 5, 13, 6, 14, 7, 15);
      upper3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, upper, upper3);
      s3 = i32x4.relaxed_dot_i8x16_i7x16_add_s(x, lower, s3);
      row = row3 + stride;
      weights += 4;
    }
    s0 = i32x4.add(s0, i32x4.shl(upper0, 7));
    s1 = i32x4.add(s1, i32x4.shl(upper1, 7));
    s2 = i32x4.add(s2, i32x4.shl(upper2, 7));
    s3 = i32x4.add(s3, i32x4.shl(upper3, 7));
    addSums(acc + (i << 2), factor, s0, s1, s2, s3);
  }
}
