import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, ONE, ROUND } from '../simd/constants';
import { exp2, exp2With } from '../simd/exp2';
import { max4 } from '../simd/reduce';

/** A row's reference is raised only when its scores pass it by this many powers of two: f32 has room for them. */
const SLACK: f32 = 20;

/** Largest of n (a multiple of 8) scores; NaN is passed over. */
function maxRow(s: usize, n: i32): f32 {
  let m0 = f32x4.splat(-Infinity);
  let m1 = m0;
  for (const end = s + ((<usize>n) << 2); s < end; s += 32) {
    m0 = f32x4.pmax(m0, v128.load(s));
    m1 = f32x4.pmax(m1, v128.load(s, 16));
  }
  return max4(f32x4.pmax(m0, m1));
}

/** s = 2^(s - reference) in place, n a multiple of 8; returns the four partial sums added to `sum`. */
function expRow(s: usize, n: i32, reference: f32, sum: v128): v128 {
  const m = f32x4.splat(reference);
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  for (const end = s + ((<usize>n) << 2); s < end; s += 32) {
    const p0 = exp2With(f32x4.sub(v128.load(s), m), round, e1, e2, e3, e4, e5, one, flush);
    v128.store(s, p0);
    sum = f32x4.add(sum, p0);
    const p1 = exp2With(f32x4.sub(v128.load(s, 16), m), round, e1, e2, e3, e4, e5, one, flush);
    v128.store(s, p1, 16);
    sum = f32x4.add(sum, p1);
  }
  return sum;
}

/** x *= factor over the 8-wide strips of one row, `stride` bytes apart. */
function rescaleStrips(x: usize, strips: i32, stride: usize, factor: v128): void {
  for (let c = 0; c < strips; ++c) {
    v128.store(x, f32x4.mul(v128.load(x), factor));
    v128.store(x, f32x4.mul(v128.load(x, 16), factor), 16);
    x += stride;
  }
}

/**
 * One online-softmax step of one row over n (a multiple of 8) new scores.
 *
 *   s    f32 [n]            log2 scores in, unnormalised weights 2^(s - m) out; -Infinity gives exactly 0
 *   m    f32                the row's reference so far, -Infinity before its first visible key
 *   l    f32 [4]            partial sums of the weights
 *   acc  f32 [strips][8]    the row of the output tile, `stride` bytes between strips; rescaled when m rises
 *
 * m <- max(m, max s) (lazily), l <- l 2^(m_old - m) + sum, acc <- acc 2^(m_old - m). Milakov and Gimelshein 2018; Dao 2022.
 */
export function softmaxStep(s: usize, n: i32, m: usize, l: usize, acc: usize, strips: i32, stride: usize): void {
  let reference = load<f32>(m);
  let sum = v128.load(l);
  const highest = maxRow(s, n);
  if (highest > reference + SLACK || reference == -Infinity) {
    if (reference != -Infinity) {
      const factor = f32x4.splat(exp2(reference - highest));
      sum = f32x4.mul(sum, factor);
      rescaleStrips(acc, strips, stride, factor);
    }
    reference = highest;
    store<f32>(m, reference);
  }
  // with no visible key yet every score is -Infinity, and any finite reference turns it into 0
  v128.store(l, expRow(s, n, reference == -Infinity ? 0 : reference, sum));
}
