import { e2m1, e4m3, FP4_GROUP, fp4Scale } from './round';
import { FP8, SAGE2, SAGE3 } from './quantization';
import { highestScore, rescale } from './softmax';
import { SCORE_ROW } from './tile';
import { exp2 } from '../simd/exp2';

/** Weights of 1 in e4m3: SageAttention2 uses all of its range, FlashAttention-3 powers of two. */
const SAGE_RANGE: f32 = 448;
const FLASH_RANGE: f32 = 256;
/** Largest e4m3 times largest e2m1: a weight of 1 in two levels. */
const FP4_RANGE: f32 = 2688;

/** Whether weights are rounded relative to the largest so far. */
// @ts-ignore: decorator
@inline
export function roundsWeights(quantization: i32): bool {
  return quantization >= SAGE2;
}

/** Raises the references of `rows` rows to their largest scores so far: rounded weights must not depend on slack. */
export function raiseReferences(
  rows: i32,
  s: usize,
  n: i32,
  m: usize,
  l: usize,
  acc: usize,
  strips: i32,
  stride: usize,
): void {
  for (; rows > 0; --rows) {
    const highest = highestScore(s, s + ((<usize>n) << 2));
    const reference = load<f32>(m);
    if (highest > reference) {
      if (reference != -Infinity) rescale(l, acc, strips, stride, f32x4.splat(exp2(reference - highest)));
      store<f32>(m, highest);
    }
    s += SCORE_ROW;
    m += 4;
    l += 16;
    acc += 32;
  }
}

/** Weights from column `from` to `end` in NVFP4, two levels: groups of 16 keys of the block. */
function roundWeightsFp4(row: usize, from: i32, end: i32): void {
  for (let group = from & -FP4_GROUP; group < end; group += FP4_GROUP) {
    const first = row + ((<usize>max(from, group)) << 2);
    const last = row + ((<usize>min(end, group + FP4_GROUP)) << 2);
    const scale = fp4Scale(max<f32>(0, highestScore(first, last)) * FP4_RANGE);
    const factor = f32x4.splat(scale == 0 ? 0 : FP4_RANGE / scale);
    const unit = f32x4.splat(scale / FP4_RANGE);
    for (let at = first; at < last; at += 16) v128.store(at, f32x4.mul(e2m1(f32x4.mul(v128.load(at), factor)), unit));
  }
}

/**
 * Rounds weights, at most 1, of n keys from key `from` of a block on.
 *
 *   s   f32 [rows][64]
 */
export function roundWeights(quantization: i32, rows: i32, s: usize, from: i32, n: i32): void {
  const range = quantization == FP8 ? FLASH_RANGE : SAGE_RANGE;
  const factor = f32x4.splat(range);
  const unit = f32x4.splat(1 / range);
  for (; rows > 0; --rows) {
    if (quantization == SAGE3) {
      roundWeightsFp4(s, from, from + n);
    } else {
      const first = s + ((<usize>from) << 2);
      for (let at = first, end = first + ((<usize>n) << 2); at < end; at += 16) {
        v128.store(at, f32x4.mul(e4m3(f32x4.mul(v128.load(at), factor)), unit));
      }
    }
    s += SCORE_ROW;
  }
}
