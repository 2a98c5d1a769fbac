import { fma } from '../../simd/fma';
import { max4, sum4 } from '../../simd/reduce';
import { LEAST, roundWords } from './score';

/**
 * product[j] = p_j scale_j for the first `count` of n tokens of a block, 0 for the others, whose scales are not looked at; returns
 * sum_j p_j offset_j.
 *
 *   p, scale, offset, product  f32 [n], n a multiple of 8; offset 0: none
 */
export function scaleWeights(p: usize, scale: usize, offset: usize, product: usize, count: i32, n: i32): f32 {
  let sum = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(count & ~3)) << 2; i < whole; i += 16) {
    const weight = v128.load(p + i);
    v128.store(product + i, f32x4.mul(weight, v128.load(scale + i)));
    if (offset) sum = fma(weight, v128.load(offset + i), sum);
  }
  let total = sum4(sum);
  for (const end = (<usize>count) << 2; i < end; i += 4) {
    const weight = load<f32>(p + i);
    store<f32>(product + i, weight * load<f32>(scale + i));
    if (offset) total += weight * load<f32>(offset + i);
  }
  for (const end = (<usize>n) << 2; i < end; i += 4) store<f32>(product + i, 0);
  return total;
}

/** dst i16 [n] = f32 [n] >= 0 at x as whole numbers of at most 32767, n a multiple of 8; returns their unit, NaN where one is. */
export function foldWeights(x: usize, dst: usize, n: i32): f32 {
  let highest = i32x4.splat(0);
  let sum = highest;
  const end = (<usize>n) << 2;
  for (let i: usize = 0; i < end; i += 16) {
    const weight = v128.load(x + i);
    highest = f32x4.pmax(highest, weight);
    sum = f32x4.add(sum, weight);
  }
  const most = max4(highest);
  const total = sum4(sum);
  const usable = most > LEAST && most < Infinity;
  roundWords(x, dst, end, f32x4.splat(usable ? <f32>32767 / most : 0));
  return total != total ? total : usable ? most / 32767 : most == Infinity ? NaN : 0;
}

// @ts-ignore: decorator
@inline
function dotField(x: v128, shift: i32, p: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(shift ? i16x8.shr_s(x, shift) : x, p));
}

/** acc[4] += unit * a field's sums + offset, from those of the field and of what is left of it. */
// @ts-ignore: decorator
@inline
function addField(acc: usize, sums: v128, plus: v128, unit: v128, offset: v128): void {
  const x = f32x4.convert_i32x4_s(i32x4.add(plus, sums));
  v128.store(acc, fma(unit, x, f32x4.add(offset, v128.load(acc))));
}

/** What sums of codes take beside their unit. */
@unmanaged
export class MixTerms {
  unit: f32;
  /** Added to every channel: sum_j p_j offset_j. */
  offset: f32;
  /** - middle * the sum of weights, and (half the codes - middle) * that. */
  low: i32;
  top: i32;
}

/**
 * acc[c] += unit * sum_j w_j (code_jc - middle) + offset for the sixteen channels of a unit of 4-bit codes.
 *
 *   codes  `blocks` of [8, 16 bytes], `stride` bytes apart, see layout.ts
 *   w      i16 [blocks, 16]
 *   acc    f32 [16]
 */
export function mixSums4(codes: usize, stride: usize, blocks: i32, w: usize, t: MixTerms, acc: usize): void {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  for (; blocks > 0; --blocks) {
    for (let pair: usize = 0; pair < 128; pair += 32) {
      let x = v128.load(codes + pair);
      let p = v128.load_splat<u32>(w);
      s0 = dotField(x, 0, p, s0);
      s1 = dotField(x, 4, p, s1);
      s2 = dotField(x, 8, p, s2);
      s3 = dotField(x, 12, p, s3);
      x = v128.load(codes + pair, 16);
      p = v128.load_splat<u32>(w, 4);
      s0 = dotField(x, 0, p, s0);
      s1 = dotField(x, 4, p, s1);
      s2 = dotField(x, 8, p, s2);
      s3 = dotField(x, 12, p, s3);
      w += 8;
    }
    codes += stride;
  }
  const unit = f32x4.splat(t.unit);
  const offset = f32x4.splat(t.offset);
  const plus = i32x4.splat(t.low);
  addField(acc, i32x4.sub(s0, i32x4.shl(s1, 4)), plus, unit, offset);
  addField(acc + 16, i32x4.sub(s1, i32x4.shl(s2, 4)), plus, unit, offset);
  addField(acc + 32, i32x4.sub(s2, i32x4.shl(s3, 4)), plus, unit, offset);
  addField(acc + 48, s3, i32x4.splat(t.top), unit, offset);
}

/** As mixSums4 for the 32 channels of a unit of 2-bit codes: blocks of [16, 16 bytes], w i16 [blocks, 32], acc f32 [32]. */
export function mixSums2(codes: usize, stride: usize, blocks: i32, w: usize, t: MixTerms, acc: usize): void {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  for (; blocks > 0; --blocks) {
    for (let pair: usize = 0; pair < 256; pair += 16) {
      const x = v128.load(codes + pair);
      const p = v128.load_splat<u32>(w);
      s0 = dotField(x, 0, p, s0);
      s1 = dotField(x, 2, p, s1);
      s2 = dotField(x, 4, p, s2);
      s3 = dotField(x, 6, p, s3);
      s4 = dotField(x, 8, p, s4);
      s5 = dotField(x, 10, p, s5);
      s6 = dotField(x, 12, p, s6);
      s7 = dotField(x, 14, p, s7);
      w += 4;
    }
    codes += stride;
  }
  const unit = f32x4.splat(t.unit);
  const offset = f32x4.splat(t.offset);
  const plus = i32x4.splat(t.low);
  addField(acc, i32x4.sub(s0, i32x4.shl(s1, 2)), plus, unit, offset);
  addField(acc + 16, i32x4.sub(s1, i32x4.shl(s2, 2)), plus, unit, offset);
  addField(acc + 32, i32x4.sub(s2, i32x4.shl(s3, 2)), plus, unit, offset);
  addField(acc + 48, i32x4.sub(s3, i32x4.shl(s4, 2)), plus, unit, offset);
  addField(acc + 64, i32x4.sub(s4, i32x4.shl(s5, 2)), plus, unit, offset);
  addField(acc + 80, i32x4.sub(s5, i32x4.shl(s6, 2)), plus, unit, offset);
  addField(acc + 96, i32x4.sub(s6, i32x4.shl(s7, 2)), plus, unit, offset);
  addField(acc + 112, s7, i32x4.splat(t.top), unit, offset);
}
