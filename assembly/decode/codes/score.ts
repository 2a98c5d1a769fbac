import { ROUND_INTEGER } from '../../simd/constants';
import { fma } from '../../simd/fma';
import { max4, sum4 } from '../../simd/reduce';

/** Operands of no larger magnitude count as zeros: their unit would be no normal number. */
export const LEAST: f32 = 1e-30;

/** Four numbers of f32 [n] at x; zeros past the end. */
// @ts-ignore: decorator
@inline
function loadFirst(x: usize, left: i32): v128 {
  if (left >= 4) return v128.load(x);
  let lanes = i32x4.splat(0);
  if (left > 0) lanes = f32x4.replace_lane(lanes, 0, load<f32>(x));
  if (left > 1) lanes = f32x4.replace_lane(lanes, 1, load<f32>(x, 4));
  if (left > 2) lanes = f32x4.replace_lane(lanes, 2, load<f32>(x, 8));
  return lanes;
}

/**
 * dst i16 [ceil8(d)] = q times scale as whole numbers of at most 32767; returns their unit, NaN where one is.
 *
 *   q        f32 [ceil4(d)], zeros past d
 *   scale    f32 [d], or 0: ones
 *   product  f32 [ceil8(d)] scratch
 */
export function foldQuery(q: usize, scale: usize, product: usize, dst: usize, d: i32): f32 {
  let highest = i32x4.splat(0);
  let sum = highest;
  const end = (<usize>((d + 7) & ~7)) << 2;
  for (let i: usize = 0; i < end; i += 16) {
    const left = d - <i32>(i >> 2);
    let x = loadFirst(q + i, left);
    if (scale) x = f32x4.mul(x, loadFirst(scale + i, left));
    v128.store(product + i, x);
    highest = f32x4.pmax(highest, f32x4.abs(x));
    sum = f32x4.add(sum, x);
  }
  const most = max4(highest);
  const total = sum4(sum);
  const usable = most > LEAST && most < Infinity;
  const factor = f32x4.splat(usable ? <f32>32767 / most : 0);
  roundWords(product, dst, end, factor);
  return total != total ? total : usable ? most / 32767 : most == Infinity ? NaN : 0;
}

/** dst i16 = f32 at x, to x + end, times factor, rounded; products are below 2^15. */
// @ts-ignore: decorator
@inline
export function roundWords(x: usize, dst: usize, end: usize, factor: v128): void {
  // adding 1.5 * 2^23 leaves the whole number in the low bits
  const magic = v128.load(ROUND_INTEGER);
  for (let i: usize = 0; i < end; i += 32) {
    const low = i32x4.sub(fma(v128.load(x + i), factor, magic), magic);
    const high = i32x4.sub(fma(v128.load(x + i, 16), factor, magic), magic);
    v128.store(dst + (i >> 1), i16x8.narrow_i32x4_s(low, high));
  }
}

/** Sum of i16 [n], n a multiple of 8. */
export function sumWords(x: usize, n: i32): i32 {
  const ones = i16x8.splat(1);
  let sum = i32x4.splat(0);
  for (const end = x + ((<usize>n) << 1); x < end; x += 16) sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(x), ones));
  sum = i32x4.add(sum, i32x4.shuffle(sum, sum, 2, 3, 0, 1));
  return i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1);
}

/** Products of one channel pair of sixteen keys of four bits. */
// @ts-ignore: decorator
@inline
function dotField(x: v128, shift: i32, q: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(shift ? i16x8.shr_s(x, shift) : x, q));
}

/** A field's sums, from those of what is right of it and of what is left of it. */
// @ts-ignore: decorator
@inline
function difference(own: v128, next: v128, bits: i32, plus: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.add(plus, i32x4.sub(own, i32x4.shl(next, bits))));
}

/**
 * out[j] = sum_c q_c (code_jc - middle) for the sixteen keys of a block of 4-bit codes.
 *
 *   codes  [pairs, 16 bytes], see layout.ts
 *   q      i16 [pairs, 2], pairs even
 *   out    f32 [16]
 *   low    - middle * sum_c q_c, top (8 - middle) * sum_c q_c
 */
export function keySums4(codes: usize, q: usize, pairs: i32, low: i32, top: i32, out: usize): void {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (const end = q + ((<usize>pairs) << 2); q < end; q += 8) {
    let x = v128.load(codes);
    let w = v128.load_splat<u32>(q);
    s0 = dotField(x, 0, w, s0);
    s1 = dotField(x, 4, w, s1);
    s2 = dotField(x, 8, w, s2);
    s3 = dotField(x, 12, w, s3);
    x = v128.load(codes, 16);
    w = v128.load_splat<u32>(q, 4);
    s0 = dotField(x, 0, w, s0);
    s1 = dotField(x, 4, w, s1);
    s2 = dotField(x, 8, w, s2);
    s3 = dotField(x, 12, w, s3);
    codes += 32;
  }
  const plus = i32x4.splat(low);
  v128.store(out, difference(s0, s1, 4, plus));
  v128.store(out, difference(s1, s2, 4, plus), 16);
  v128.store(out, difference(s2, s3, 4, plus), 32);
  v128.store(out, f32x4.convert_i32x4_s(i32x4.add(s3, i32x4.splat(top))), 48);
}

/** As keySums4 for the 32 keys of a block of 2-bit codes: out f32 [32], top (2 - middle) * sum_c q_c. */
export function keySums2(codes: usize, q: usize, pairs: i32, low: i32, top: i32, out: usize): void {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  for (const end = q + ((<usize>pairs) << 2); q < end; q += 4) {
    const x = v128.load(codes);
    const w = v128.load_splat<u32>(q);
    s0 = dotField(x, 0, w, s0);
    s1 = dotField(x, 2, w, s1);
    s2 = dotField(x, 4, w, s2);
    s3 = dotField(x, 6, w, s3);
    s4 = dotField(x, 8, w, s4);
    s5 = dotField(x, 10, w, s5);
    s6 = dotField(x, 12, w, s6);
    s7 = dotField(x, 14, w, s7);
    codes += 16;
  }
  const plus = i32x4.splat(low);
  v128.store(out, difference(s0, s1, 2, plus));
  v128.store(out, difference(s1, s2, 2, plus), 16);
  v128.store(out, difference(s2, s3, 2, plus), 32);
  v128.store(out, difference(s3, s4, 2, plus), 48);
  v128.store(out, difference(s4, s5, 2, plus), 64);
  v128.store(out, difference(s5, s6, 2, plus), 80);
  v128.store(out, difference(s6, s7, 2, plus), 96);
  v128.store(out, f32x4.convert_i32x4_s(i32x4.add(s7, i32x4.splat(top))), 112);
}

/**
 * out[j] += unit * (scale_j sums_j) + total * offset_j for the n keys of a block.
 *
 *   scale, offset  f32 [n]; offset 0: none
 */
export function addScaled(sums: usize, unit: f32, scale: usize, offset: usize, total: f32, out: usize, n: i32): void {
  const u = f32x4.splat(unit);
  const t = f32x4.splat(total);
  for (let i: usize = 0; i < (<usize>n) << 2; i += 16) {
    let x = fma(f32x4.mul(u, v128.load(scale + i)), v128.load(sums + i), v128.load(out + i));
    if (offset) x = fma(t, v128.load(offset + i), x);
    v128.store(out + i, x);
  }
}
