import { SoftmaxMapParams } from '../params';
import { exp1, exp4 } from '../simd/exp';
import { sum4 } from '../simd/reduce';
import { maxRow } from '../simd/row';
import { multiplyBy } from './reduction';
import { mapRow, visibleColumns } from './visible';

/** x = e^(scale * x - most) over n numbers; returns their sum. */
function expRow(x: usize, n: i32, scale: f32, most: f32): f32 {
  const s = f32x4.splat(scale);
  const m = f32x4.splat(most);
  let sums = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const w = exp4(f32x4.sub(f32x4.mul(v128.load(x + i), s), m));
    v128.store(x + i, w);
    sums = f32x4.add(sums, w);
  }
  let sum = sum4(sums);
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const w = exp1(load<f32>(x + i) * scale - most);
    store<f32>(x + i, w);
    sum += w;
  }
  return sum;
}

/**
 * Softmax of scale times each row of a map over the columns that it sees, in place; the other columns become 0.
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
    const most = p.scale * maxRow(row, n);
    // among values that are all -Infinity any finite reference gives zeros
    const sum = expRow(row, n, p.scale, most == -Infinity ? 0 : most);
    multiplyBy(row, n, sum == 0 ? <f32>0 : 1 / sum);
    memory.fill(row + ((<usize>n) << 2), 0, (<usize>(p.columns - n)) << 2);
  }
}
