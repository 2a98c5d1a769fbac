import { SoftmaxMapParams } from '../params';
import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, LOG2E, ONE, ROUND } from '../simd/constants';
import { exp2, exp2With } from '../simd/exp2';
import { sum4 } from '../simd/reduce';
import { maxRow } from '../simd/row';
import { multiplyBy } from './reduction';
import { mapRow, visibleColumns } from './visible';

/** x = 2^((x - most) * factor) over n numbers; returns their sum. */
function expRow(x: usize, n: i32, most: f32, factor: f32): f32 {
  const round = v128.load(ROUND);
  const e1 = v128.load(EXP2_1);
  const e2 = v128.load(EXP2_2);
  const e3 = v128.load(EXP2_3);
  const e4 = v128.load(EXP2_4);
  const e5 = v128.load(EXP2_5);
  const one = v128.load(ONE);
  const flush = v128.load(EXP2_FLUSH);
  const m = f32x4.splat(most);
  const f = f32x4.splat(factor);
  let sums = i32x4.splat(0);
  for (let left = n >> 2; left > 0; --left) {
    const y = f32x4.mul(f32x4.sub(v128.load(x), m), f);
    const w = exp2With(y, round, e1, e2, e3, e4, e5, one, flush);
    v128.store(x, w);
    sums = f32x4.add(sums, w);
    x += 16;
  }
  let sum = sum4(sums);
  for (let left = n & 3; left > 0; --left) {
    const w = exp2((load<f32>(x) - most) * factor);
    store<f32>(x, w);
    sum += w;
    x += 4;
  }
  return sum;
}

/**
 * Softmax of scale (above 0) times each row of a map over the columns that it sees, in place; the other columns become 0.
 *
 *   map  f32 [B, L, N, M]  columns contiguous; what a row does not see is not read
 *
 * A row that sees nothing, or only -Infinity, becomes zeros. Item: one row.
 */
export function softmaxMap(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<SoftmaxMapParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.rows;
    const i = item - list * p.rows;
    const n = visibleColumns(p, i);
    const row = mapRow(p, list, i);
    const most = maxRow(row, n);
    // among values that are all -Infinity any finite reference gives zeros
    const sum = expRow(row, n, most == -Infinity ? 0 : most, p.scale * LOG2E);
    multiplyBy(row, n, sum == 0 ? <f32>0 : 1 / sum);
    memory.fill(row + ((<usize>n) << 2), 0, (<usize>(p.columns - n)) << 2);
  }
}
