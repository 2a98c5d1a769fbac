import { WeightsParams } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, LOG2E, ONE, ROUND } from '../simd/constants';
import { exp2, exp2With } from '../simd/exp2';
import { sum4 } from '../simd/reduce';
import { maxRow } from '../simd/row';

/** x = exp(x - reference) over n values; returns their sum. */
function expRow(x: usize, n: i32, reference: f32): f32 {
  const m = f32x4.splat(reference);
  const log2e = f32x4.splat(LOG2E);
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  let sums = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const s = f32x4.mul(f32x4.sub(v128.load(x + i), m), log2e);
    const w = exp2With(s, round, e1, e2, e3, e4, e5, one, flush);
    v128.store(x + i, w);
    sums = f32x4.add(sums, w);
  }
  let sum = sum4(sums);
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const w = exp2((load<f32>(x + i) - reference) * LOG2E);
    store<f32>(x + i, w);
    sum += w;
  }
  return sum;
}

/**
 * Softmax of each row, in place: scores become attention weights. A row of -Infinity becomes zeros.
 *
 *   scores  f32 [rows, n]   contiguous
 *
 * Item: one row.
 */
export function weights(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<WeightsParams>(params);
  for (let item = begin; item < end; ++item) {
    const row = p.scores + ((<usize>item * <usize>p.n) << 2);
    const most = maxRow(row, p.n);
    // without a visible key every score is -Infinity, and any finite reference turns it into 0
    const sum = expRow(row, p.n, most == -Infinity ? 0 : most);
    const inverse: f32 = sum == 0 ? 0 : 1 / sum;
    const factor = f32x4.splat(inverse);
    let i: usize = 0;
    for (const whole = (<usize>(p.n & ~3)) << 2; i < whole; i += 16) {
      v128.store(row + i, f32x4.mul(v128.load(row + i), factor));
    }
    for (const all = (<usize>p.n) << 2; i < all; i += 4) store<f32>(row + i, load<f32>(row + i) * inverse);
  }
}
