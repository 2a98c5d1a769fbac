/**
 * Maps: a number for every pair of a row and a column, and what of it the rows see.
 *
 * @module
 */
import type { Tensor } from '../../tensor.ts';

/** Row i of a map sees columns [0, floor((i * mul + add) / div)), at most all. */
export interface Visible {
  readonly mul: number;
  readonly add: number;
  /** At least 1. */
  readonly div: number;
}

/** How several numbers become one; the order is that of assembly/select/reduction.ts. */
export type Reduction = 'mean' | 'sum' | 'max' | 'min';

export const REDUCTIONS: readonly Reduction[] = ['mean', 'sum', 'max', 'min'];

/** Rows see everything. */
function everything(columns: number): Visible {
  return { mul: 0, add: columns, div: 1 };
}

/** Columns that row i sees. */
export function visibleOf({ mul, add, div }: Visible, i: number, columns: number): number {
  return Math.min(columns, Math.max(0, Math.floor((i * mul + add) / div)));
}

/** Pairs of `rows` rows and `columns` columns that are visible. */
export function visibleCells(visible: Visible | undefined, rows: number, columns: number): number {
  if (!visible) return rows * columns;
  let cells = 0;
  for (let i = 0; i < rows; ++i) cells += visibleOf(visible, i, columns);
  return cells;
}

/** The fields of MapParams of a map [B, L, rows, columns]. */
export function mapFields(map: Tensor, visible: Visible | undefined) {
  const [, lists, rows, columns] = map.shape as [number, number, number, number];
  const [mapStrideB, mapStrideH, mapStrideR] = map.strides as [number, number, number, number];
  const { mul, add, div } = visible ?? everything(columns);
  return {
    map: map.address,
    mapStrideB,
    mapStrideH,
    mapStrideR,
    lists,
    rows,
    columns,
    visibleMul: mul,
    visibleAdd: add,
    visibleDiv: div,
  };
}
