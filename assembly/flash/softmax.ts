import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, ONE, ROUND } from '../simd/constants';
import { exp2, exp2With } from '../simd/exp2';
import { max4 } from '../simd/reduce';
import { SCORE_ROW } from './tile';

/** A row's reference is raised only when its scores pass it by this many powers of two: f32 has room for them. */
export const SLACK: f32 = 20;

/** Raises a row's reference to `highest`: x *= factor over its partial sums and its 8-wide strips, `stride` bytes apart. */
export function rescale(l: usize, x: usize, strips: i32, stride: usize, factor: v128): void {
  v128.store(l, f32x4.mul(v128.load(l), factor));
  for (let c = 0; c < strips; ++c) {
    v128.store(x, f32x4.mul(v128.load(x), factor));
    v128.store(x, f32x4.mul(v128.load(x, 16), factor), 16);
    x += stride;
  }
}

/** Largest of the scores from s to end; NaN is passed over: it comes through the weights. */
// @ts-ignore: decorator
@inline
export function highestScore(s: usize, end: usize): f32 {
  let high0 = f32x4.splat(-Infinity);
  let high1 = high0;
  for (; s < end; s += 32) {
    high0 = f32x4.pmax(high0, v128.load(s));
    high1 = f32x4.pmax(high1, v128.load(s, 16));
  }
  return max4(f32x4.pmax(high0, high1));
}

/**
 * Hides n scores of each row, `below` or more below the largest that the row has seen; whether any row keeps its own.
 *
 *   s    f32 [rows][64]   log2 scores; -Infinity where hidden
 *   top  f32 [rows]       largest scores so far, raised
 *
 * The second stage of SpargeAttn (Zhang 2025), where a tile of more rows decides as one.
 */
export function keepRows(rows: i32, s: usize, n: i32, top: usize, below: f32): bool {
  let kept = false;
  for (; rows > 0; --rows) {
    const end = s + ((<usize>n) << 2);
    const highest = highestScore(s, end);
    const before = load<f32>(top);
    if (highest + below > before) {
      store<f32>(top, max<f32>(before, highest));
      kept = true;
    } else {
      for (let at = s; at < end; at += 16) v128.store(at, f32x4.splat(-Infinity));
    }
    s += SCORE_ROW;
    top += 4;
  }
  return kept;
}

/**
 * One online-softmax step of `rows` rows over n (a multiple of 8) new scores each.
 *
 *   s    f32 [rows][n]           log2 scores in, unnormalised weights 2^(s - m) out; -Infinity gives exactly 0;
 *                                rows `sStride` bytes apart
 *   m    f32 [rows]              the rows' references so far, -Infinity before their first visible key
 *   l    f32 [rows][4]           partial sums of the weights
 *   acc  f32 [rows][strips][8]   rows of the output tile, `accStride` bytes apart, `stride` bytes between strips;
 *                                rescaled when m rises
 *
 * With `bounded` the caller knows that no score passes its reference by more than SLACK.
 *
 * m <- max(m, max s) (lazily), l <- l 2^(m_old - m) + sum, acc <- acc 2^(m_old - m). Milakov and Gimelshein 2018; Dao 2022.
 */
export function softmaxStep(
  rows: i32,
  bounded: bool,
  s: usize,
  sStride: usize,
  n: i32,
  m: usize,
  l: usize,
  acc: usize,
  accStride: usize,
  strips: i32,
  stride: usize,
): void {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  for (; rows > 0; --rows) {
    const end = s + ((<usize>n) << 2);
    let reference = load<f32>(m);
    if (!bounded) {
      const highest = highestScore(s, end);
      if (highest > reference + SLACK || reference == -Infinity) {
        if (reference != -Infinity) rescale(l, acc, strips, stride, f32x4.splat(exp2(reference - highest)));
        reference = highest;
        store<f32>(m, reference);
      }
    }
    // with no visible key yet every score is -Infinity, and any finite reference turns it into 0
    const shift = f32x4.splat(reference == -Infinity ? 0 : reference);
    let sum = v128.load(l);
    for (let at = s; at < end; at += 32) {
      const p0 = exp2With(f32x4.sub(v128.load(at), shift), round, e1, e2, e3, e4, e5, one, flush);
      v128.store(at, p0);
      sum = f32x4.add(sum, p0);
      const p1 = exp2With(f32x4.sub(v128.load(at, 16), shift), round, e1, e2, e3, e4, e5, one, flush);
      v128.store(at, p1, 16);
      sum = f32x4.add(sum, p1);
    }
    v128.store(l, sum);
    s += sStride;
    m += 4;
    l += 16;
    acc += accStride;
  }
}
