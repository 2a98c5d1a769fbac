import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, ONE, ROUND } from '../simd/constants';
import { exp2With } from '../simd/exp2';
import { sum4 } from '../simd/reduce';
import { maxRow } from '../simd/row';

/** Slots of a block, and bytes of a row of their scores. */
export const BLOCK: i32 = 64;
export const BLOCK_ROW: usize = 256;

/**
 * Softmax of one row of scores that lies in blocks, and its weights added to sums.
 *
 *   row   f32 [n] as blocks of 64, `stride` bytes apart   log2 scores in, weights out; a last block is padded to whole fours with zeros
 *   sums  f32 [n]                                         += weights
 *
 *   p_j = 2^(s_j - max s) / sum_j 2^(s_j - max s)
 */
export function softmaxBlocks(row: usize, stride: usize, n: i32, sums: usize): void {
  let most: f32 = -Infinity;
  for (let first = 0, at = row; first < n; first += BLOCK, at += stride)
    most = max(most, maxRow(at, min(BLOCK, n - first)));
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  // where no score is finite any finite reference turns them into 0
  const shift = f32x4.splat(most == -Infinity ? 0 : most);
  let sum = i32x4.splat(0);
  for (let first = 0, at = row; first < n; first += BLOCK, at += stride) {
    const bytes = (<usize>min(BLOCK, n - first)) << 2;
    const padded = (bytes + 15) & ~15;
    for (let i = bytes; i < padded; i += 4) store<f32>(at + i, -Infinity);
    for (let i: usize = 0; i < padded; i += 16) {
      const w = exp2With(f32x4.sub(v128.load(at + i), shift), round, e1, e2, e3, e4, e5, one, flush);
      v128.store(at + i, w);
      sum = f32x4.add(sum, w);
    }
  }
  const total = sum4(sum);
  const factor = f32x4.splat(total == 0 ? 0 : 1 / total);
  for (let first = 0, at = row; first < n; first += BLOCK, at += stride) {
    const count = min(BLOCK, n - first);
    const to = sums + ((<usize>first) << 2);
    const whole = (<usize>(count & ~3)) << 2;
    for (let i: usize = 0; i < whole; i += 16) {
      const p = f32x4.mul(v128.load(at + i), factor);
      v128.store(at + i, p);
      v128.store(to + i, f32x4.add(v128.load(to + i), p));
    }
    for (let i = whole; i < (<usize>count) << 2; i += 4) {
      const p = load<f32>(at + i) * f32x4.extract_lane(factor, 0);
      store<f32>(at + i, p);
      store<f32>(to + i, load<f32>(to + i) + p);
    }
  }
}
