/**
 * Single columns that queries see besides blocks or a window: which rows see which of them once their keys and values are gathered.
 *
 * @module
 */
import { GatheredBitsParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import type { Blocks } from './causal-blocks.ts';

/** In place of a distance: no query of a row comes before a column that the row sees. */
export const BEFORE = -1;

/** Columns of each list. */
export interface ColumnIndices {
  /** i32 [B, L, 1, n], rising. */
  readonly indices: Tensor;
  /** i32 [B, L, 1]: how many of them hold. */
  readonly counts: Tensor;
}

/** Which rows see which gathered columns. */
export interface GatheredCall extends Blocks, ColumnIndices {
  /** i32 [B, L, R, words]: columns in these blocks of keyBlock keys are left out. */
  readonly blocks?: Tensor | undefined;
  /** For each list, how far before a query's place a column must be at least; BEFORE: it must come before all queries of a row. */
  readonly shifts: readonly number[];
}

/** Adds bits i32 [B, L, R, ceil(n / 32)] and the columns' places i32 [B, L, n], moved by that distance. */
export function gatheredBits(b: Builder, call: GatheredCall): { readonly bits: Tensor; readonly places: Tensor } {
  const { Tq, Tk, queryBlock, keyBlock, indices, counts, blocks, shifts } = call;
  const [batch, lists, , n] = indices.shape as [number, number, number, number];
  const rows = Math.ceil(Tq / queryBlock);
  const bits = b.temporary([batch, lists, rows, Math.ceil(n / 32)], 'i32');
  const places = b.temporary([batch, lists, n], 'i32');
  b.dispatch({
    kernel: 'gatheredBits',
    params: encode(GatheredBitsParams, {
      indices: indices.address,
      counts: counts.address,
      blocks: blocks?.address ?? 0,
      blockWords: blocks?.shape[3] ?? 0,
      bits: bits.address,
      places: places.address,
      rows,
      n,
      queries: Tq,
      offset: Tk - Tq,
      queryBlock,
      keyBlock,
      lists,
      shifts: b.table(Int32Array.from(shifts)),
    }),
    items: batch * lists * rows,
    grain: 8,
    flops: 4 * bits.size * 32,
  });
  return { bits, places };
}
