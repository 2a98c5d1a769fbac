/**
 * Sparse attention over keys that every query sees, wherever they lie, and some around each query.
 *
 * @module
 */
import { blockMask, sharedMask } from '../block-mask.ts';
import type { Pattern } from '../pattern.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { copyRows } from './copy.ts';
import { flashAttend } from './flash.ts';
import { gatherHeads } from './select/gather.ts';

/** Which keys are seen; `near` leaves the columns out. */
export interface ColumnPattern {
  /** Equal keys mean equal rules. */
  readonly key: string;
  /** Keys that every query sees, in ascending order. */
  readonly columns: readonly number[];
  /** Most distance of a key that only the queries around it see. */
  readonly reach: number;
  near(i: number, j: number): boolean;
}

/** Rows of x [B, T, H, D] at `columns`, without a copy where they lie at equal distances. */
function rowsAt(b: Builder, x: Tensor, columns: readonly number[]): Tensor {
  const [B, , H, D] = x.shape as [number, number, number, number];
  const [first, second = first! + 1] = columns as [number, number?];
  const step = second! - first!;
  if (columns.every((j, n) => j === first! + n * step)) {
    const from = x.slice(1, first!, x.shape[1]!);
    return from.restride([B, columns.length, H, D], [x.strides[0]!, step * x.strides[1]!, x.strides[2]!, 1]);
  }
  const order = b.temporary([1, 1, columns.length], 'i32');
  order.write(columns);
  const rows = gatherHeads(b, x, order.broadcast([B, 1, columns.length]));
  return rows.reshape([B, H, columns.length, D]).permute([0, 2, 1, 3]);
}

/**
 * Adds a call on [B, T, H, ...] operands, every query over the columns and what lies near it: one softmax, columns gathered behind all
 * keys.
 *
 * @param kept whether later calls find the mask again; of the masks of one call only a few can be
 */
export function attendColumns(b: Builder, call: AttentionCall, pattern: ColumnPattern, kept = true): void {
  const [B, T, H] = call.q.shape as [number, number, number];
  const { columns, reach } = pattern;
  const Tk = T + columns.length;
  const extended = (x: Tensor) => {
    const o = b.temporary([B, Tk, H, x.shape[3]!]);
    copyRows(b, x, o.slice(1, 0, T));
    if (columns.length > 0) copyRows(b, rowsAt(b, x, columns), o.slice(1, T, Tk));
    return o;
  };
  const mask: Pattern = {
    name: pattern.key,
    key: `${pattern.key} of ${T}`,
    visible: (i, j) => j >= T || pattern.near(i - columns.length, j),
    runs: (i, _, add) => {
      const row = i - columns.length;
      add(T, Tk);
      for (let j = Math.max(0, row - reach); j <= Math.min(T - 1, row + reach); ++j) {
        if (pattern.near(row, j)) add(j, j + 1);
      }
    },
  };
  const sequences = call.sequences.map((span) => ({ ...span, kLength: Tk }));
  const { list } = (kept ? sharedMask : blockMask)(mask, { Tq: T, Tk });
  flashAttend(b, { ...call, k: extended(call.k), v: extended(call.v), sequences }, { blocks: list });
}
