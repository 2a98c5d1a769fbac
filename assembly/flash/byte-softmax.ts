import { ONE, ROUND, ROUND_INTEGER, WEIGHT_1, WEIGHT_2, WEIGHT_3, WEIGHT_LEAST } from '../simd/constants';
import { exp2 } from '../simd/exp2';
import { fma } from '../simd/fma';
import { highestScore, rescale, SLACK } from './softmax';
import { SCORE_ROW } from './tile';

/** log2 of the largest weight code, 127. */
const LOG2_MOST: f32 = 6.988684686772166;

/** Four weights 2^x, x from -20 up. */
// @ts-ignore: decorator
@inline
function weights4(x: v128, least: v128, round: v128, w1: v128, w2: v128, w3: v128, one: v128): v128 {
  const bounded = f32x4.pmax(x, least);
  const shifted = f32x4.add(bounded, round);
  const r = f32x4.sub(bounded, f32x4.sub(shifted, round));
  return f32x4.mul(fma(fma(fma(w3, r, w2), r, w1), r, one), i32x4.shl(shifted, 23));
}

/** The whole numbers nearest to four weights. */
// @ts-ignore: decorator
@inline
function integers4(x: v128, magic: v128): v128 {
  return i32x4.sub(f32x4.add(x, magic), magic);
}

/**
 * One online-softmax step of `rows` rows over n (a multiple of 8) new scores each, whose weights become codes up to 127 of the row's
 * largest weight among them.
 *
 *   s      f32 [rows][64]          log2 scores, -Infinity where hidden
 *   m, l   f32 [rows], [rows][4]   as in softmaxStep; l sums weights before they are rounded
 *   acc    f32 [rows][strips][8]   as in softmaxStep
 *   codes  u8 [rows][64]
 *   units  f32 [rows]              a weight is code * unit, relative to m
 */
export function softmaxBytes(
  rows: i32,
  s: usize,
  n: i32,
  m: usize,
  l: usize,
  acc: usize,
  strips: i32,
  stride: usize,
  codes: usize,
  units: usize,
): void {
  const magic = v128.load(ROUND_INTEGER);
  const round = v128.load(ROUND);
  const w1 = v128.load(WEIGHT_1);
  const w2 = v128.load(WEIGHT_2);
  const w3 = v128.load(WEIGHT_3);
  const one = v128.load(ONE);
  const least = v128.load(WEIGHT_LEAST);
  const bytes = (<usize>n) << 2;
  for (; rows > 0; --rows) {
    const highest = highestScore(s, s + bytes);
    let reference = load<f32>(m);
    if (highest > reference + SLACK || reference == -Infinity) {
      if (reference != -Infinity) rescale(l, acc, strips, stride, f32x4.splat(exp2(reference - highest)));
      reference = highest;
      store<f32>(m, reference);
    }
    const seen = highest != -Infinity;
    const unit: f32 = seen ? exp2(highest - reference) * <f32>(1.0 / 127) : 0;
    store<f32>(units, unit);
    const shift = f32x4.splat(seen ? LOG2_MOST - highest : 0);
    let sum = i32x4.splat(0);
    let to = codes;
    for (let at = s, end = s + bytes; at < end; at += 32) {
      const p0 = weights4(f32x4.add(v128.load(at), shift), least, round, w1, w2, w3, one);
      const p1 = weights4(f32x4.add(v128.load(at, 16), shift), least, round, w1, w2, w3, one);
      sum = f32x4.add(sum, f32x4.add(p0, p1));
      const narrow = i16x8.narrow_i32x4_s(integers4(p0, magic), integers4(p1, magic));
      v128.store_lane<u64>(to, i8x16.narrow_i16x8_s(narrow, narrow), 0);
      to += 8;
    }
    v128.store(l, fma(sum, f32x4.splat(unit), v128.load(l)));
    s += SCORE_ROW;
    m += 4;
    l += 16;
    acc += 32;
    codes += 64;
    units += 4;
  }
}
