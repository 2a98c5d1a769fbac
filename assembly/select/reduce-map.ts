import { ReduceMapParams } from '../params';
import { emptyOf, fillRow, MAX, MEAN, MIN, reduceRow, SUM } from './reduction';
import { mapRow, visibleColumns } from './visible';

/** x += 1 over n numbers. */
function countRow(x: usize, n: i32): void {
  const one = f32x4.splat(1);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), one));
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(x + i, load<f32>(x + i) + 1);
}

/** x /= counts over n numbers, where there is a count. */
function divideRow(x: usize, counts: usize, n: i32): void {
  const one = f32x4.splat(1);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(x + i, f32x4.div(v128.load(x + i), f32x4.pmax(one, v128.load(counts + i))));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    store<f32>(x + i, load<f32>(x + i) / max<f32>(1, load<f32>(counts + i)));
  }
}

/** n numbers as one. */
function reduceColumns(x: usize, n: i32, kind: i32): f32 {
  let result = emptyOf(kind);
  for (let i: usize = 0, end = (<usize>n) << 2; i < end; i += 4) {
    const value = load<f32>(x + i);
    if (kind == MAX) {
      if (value > result) result = value;
    } else if (kind == MIN) {
      if (value < result) result = value;
    } else {
      result += value;
    }
  }
  return result;
}

/**
 * Mean, sum, largest or least over groups of heads, rows and columns of a map, of what the rows see.
 *
 *   map  f32 [B, L, N, M]                                    columns contiguous; what a row does not see is not read
 *   o    f32 [B, L / heads, ceil(N / rows), ceil(M / columns)]   contiguous; must not alias map
 *
 * A group at the end is of what there is. Where nothing is seen, mean and sum are 0, largest is -Infinity, least Infinity;
 * the mean is over what is seen.
 *
 * Item: one row of o. Scratch: f32 [2, ceil4(M)].
 */
export function reduceMap(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ReduceMapParams>(params);
  const lists = p.lists / p.groupHeads;
  const counts = scratch + ((<usize>((p.columns + 3) & ~3)) << 2);
  const start = emptyOf(p.kind);
  for (let item = begin; item < end; ++item) {
    const list = item / p.outRows;
    const first = (item - list * p.outRows) * p.groupRows;
    const last = min(first + p.groupRows, p.rows);
    const batch = list / lists;
    const head = (list - batch * lists) * p.groupHeads;
    const single = p.groupColumns == 1;
    const out = p.o + <usize>item * ((<usize>p.outColumns) << 2);
    const sums = single ? out : scratch;
    fillRow(sums, p.columns, start);
    if (p.kind == MEAN) memory.fill(counts, 0, (<usize>p.columns) << 2);
    for (let h = head; h < head + p.groupHeads; ++h) {
      for (let i = first; i < last; ++i) {
        const n = visibleColumns(p, i);
        reduceRow(sums, mapRow(p, batch * p.lists + h, i), n, p.kind);
        if (p.kind == MEAN) countRow(counts, n);
      }
    }
    if (single) {
      if (p.kind == MEAN) divideRow(out, counts, p.columns);
      continue;
    }
    for (let c = 0; c < p.outColumns; ++c) {
      const from = c * p.groupColumns;
      const n = min(p.groupColumns, p.columns - from);
      const at = (<usize>from) << 2;
      let value = reduceColumns(sums + at, n, p.kind);
      if (p.kind == MEAN) {
        const seen = reduceColumns(counts + at, n, SUM);
        value = seen == 0 ? 0 : value / seen;
      }
      store<f32>(out + ((<usize>c) << 2), value);
    }
  }
}
