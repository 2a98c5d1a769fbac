import { ONES_16, ROUND_INTEGER } from '../../simd/constants';
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

/** Product of f32 [d] rows. */
export function dotRow(x: usize, y: usize, d: i32): f32 {
  let sum = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(d & ~3)) << 2; i < whole; i += 16) sum = fma(v128.load(x + i), v128.load(y + i), sum);
  let total = sum4(sum);
  for (const end = (<usize>d) << 2; i < end; i += 4) total += load<f32>(x + i) * load<f32>(y + i);
  return total;
}

/** Sum of i16 [n], n a multiple of 8. */
export function sumWords(x: usize, n: i32): i32 {
  const ones = v128.load(ONES_16);
  let sum = i32x4.splat(0);
  for (const end = x + ((<usize>n) << 1); x < end; x += 16) sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(x), ones));
  sum = i32x4.add(sum, i32x4.shuffle(sum, sum, 2, 3, 0, 1));
  return i32x4.extract_lane(sum, 0) + i32x4.extract_lane(sum, 1);
}

/** Products of one field, the codes of four keys and two channels, and of the fields left of it, added to sums. */
// @ts-ignore: decorator
@inline
function dotField(x: v128, shift: i32, q: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(shift ? i16x8.shr_s(x, shift) : x, q));
}

/** What sums of one group of channels take to be scores. */
@unmanaged
export class ScoreTerms {
  /** Of the query's whole numbers. */
  unit: f32;
  /** Sum of the query's elements of the group: what offsets are multiplied by. */
  total: f32;
  /** - middle * the sum of the query's whole numbers, and (half the codes - middle) * that. */
  low: i32;
  top: i32;
  /** f32 [tokens of a block]: scales and offsets (0: none) of the keys. */
  scale: usize;
  offset: usize;
  /** 1: the scores begin with `start`, 0: they are added to. */
  fresh: i32;
  start: f32;
}

/** Four scores of a field: own are its sums, from which those of what is left of it have been taken. */
// @ts-ignore: decorator
@inline
function writeField(out: usize, at: usize, own: v128, plus: v128, unit: v128, t: ScoreTerms): void {
  const sums = f32x4.convert_i32x4_s(i32x4.add(plus, own));
  let x = t.fresh ? f32x4.splat(t.start) : v128.load(out + at);
  if (t.offset) x = fma(f32x4.splat(t.total), v128.load(t.offset + at), x);
  v128.store(out + at, fma(f32x4.mul(unit, v128.load(t.scale + at)), sums, x));
}

/**
 * out[j] (+)= unit scale_j sum_c q_c (code_jc - middle) + total offset_j for the sixteen keys of a block of 4-bit codes.
 *
 *   codes  [pairs, 16 bytes], see layout.ts
 *   q      i16 [pairs, 2], pairs even
 *   out    f32 [16]
 */
export function keySums4(codes: usize, q: usize, pairs: i32, t: ScoreTerms, out: usize): void {
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
  const plus = i32x4.splat(t.low);
  const unit = f32x4.splat(t.unit);
  writeField(out, 0, i32x4.sub(s0, i32x4.shl(s1, 4)), plus, unit, t);
  writeField(out, 16, i32x4.sub(s1, i32x4.shl(s2, 4)), plus, unit, t);
  writeField(out, 32, i32x4.sub(s2, i32x4.shl(s3, 4)), plus, unit, t);
  writeField(out, 48, s3, i32x4.splat(t.top), unit, t);
}

/** As keySums4 for the 32 keys of a block of 2-bit codes: out f32 [32]. */
export function keySums2(codes: usize, q: usize, pairs: i32, t: ScoreTerms, out: usize): void {
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
  const plus = i32x4.splat(t.low);
  const unit = f32x4.splat(t.unit);
  writeField(out, 0, i32x4.sub(s0, i32x4.shl(s1, 2)), plus, unit, t);
  writeField(out, 16, i32x4.sub(s1, i32x4.shl(s2, 2)), plus, unit, t);
  writeField(out, 32, i32x4.sub(s2, i32x4.shl(s3, 2)), plus, unit, t);
  writeField(out, 48, i32x4.sub(s3, i32x4.shl(s4, 2)), plus, unit, t);
  writeField(out, 64, i32x4.sub(s4, i32x4.shl(s5, 2)), plus, unit, t);
  writeField(out, 80, i32x4.sub(s5, i32x4.shl(s6, 2)), plus, unit, t);
  writeField(out, 96, i32x4.sub(s6, i32x4.shl(s7, 2)), plus, unit, t);
  writeField(out, 112, s7, i32x4.splat(t.top), unit, t);
}
