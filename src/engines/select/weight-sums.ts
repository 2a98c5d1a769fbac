/**
 * Attention weights of groups of rows, added up over columns and diagonals.
 *
 * @module
 */
import { InterleavedPackParams, WeightSumsParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { type Visible, visibleCells } from './map.ts';

/** Rows of an item that keep the micro-kernel busy. */
const ITEM_ROWS = 48;
/** Rows of a pass: multiples of both builds' tiles, as many as keep the scores in the second-level cache. */
const PASS_ROWS = [48, 24, 12];
const PASS_FLOATS = 1 << 16;

/** What is added up. Float storage of any kind and any strides, last axes contiguous. */
export interface WeightSumsCall {
  /** [B, T, Hq, D] */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D]; Hkv divides Hq. */
  readonly k: Tensor;
  readonly scale: number;
  /** Queries of a row and keys of a column, which meet in reversed order; default 1. */
  readonly interleave?: number;
  /** Columns that a row sees. */
  readonly visible?: Visible | undefined;
  /** Rows that are added up, and columns; default 1 column. */
  readonly rowGroup: number;
  readonly columnGroup?: number;
  /** Whether diagonals are wanted. */
  readonly diagonals?: boolean;
  /** For each query head: so many columns, and diagonals, from the first on are Infinity, for a choice to take before all others. */
  readonly firstColumns?: readonly number[] | undefined;
  readonly firstDiagonals?: readonly number[] | undefined;
}

/** Maps of sums. */
export interface WeightSums {
  /** f32 [B, Hq, groups of rows, groups of columns] */
  readonly columns: Tensor;
  /** f32 [B, Hq, groups of rows, columns], by the distance from the last column that a row sees. */
  readonly diagonals: Tensor | undefined;
}

/** Adds k [B, Tk, Hkv, D] as panels f32 [B, Hkv, panels, interleave * D, 8]. */
function packKeys(b: Builder, k: Tensor, interleave: number): Tensor {
  const [batch, length, kvHeads, d] = k.shape as [number, number, number, number];
  const panels = Math.ceil(Math.ceil(length / interleave) / 8);
  const kPack = b.temporary([batch, kvHeads, panels, interleave * d, 8]);
  const params = encode(InterleavedPackParams, {
    kType: storageOf(k),
    kPack: kPack.address,
    kvHeads,
    length,
    d,
    interleave,
  });
  encodePlaces(InterleavedPackParams, params, { k });
  b.dispatch({
    kernel: 'interleavedPack',
    params,
    items: batch * kvHeads * panels,
    grain: Math.max(1, Math.floor(64 / interleave)),
    scratchBytes: 8 * d * 4,
    flops: k.size,
  });
  return kPack;
}

/** Adds the sums of the weights of softmax rows scale q k. */
export function weightSums(b: Builder, call: WeightSumsCall): WeightSums {
  const { q, k, scale, interleave = 1, visible, rowGroup, columnGroup = 1 } = call;
  const [batch, length, heads, d] = q.shape as [number, number, number, number];
  const [rows, columns] = [Math.ceil(length / interleave), Math.ceil(k.shape[1]! / interleave)];
  const groups = Math.ceil(rows / rowGroup);
  const sums = b.temporary([batch, heads, groups, Math.ceil(columns / columnGroup)]);
  const diagonals = call.diagonals ? b.temporary([batch, heads, groups, columns]) : undefined;
  if (sums.size === 0) return { columns: sums, diagonals };
  const kPack = packKeys(b, k, interleave);
  const table = (counts: readonly number[] | undefined) => (counts ? b.table(Int32Array.from(counts)) : 0);
  const itemGroups = Math.max(1, Math.ceil(ITEM_ROWS / rowGroup));
  const params = encode(WeightSumsParams, {
    qType: storageOf(q),
    kPack: kPack.address,
    columnSums: sums.address,
    diagonalSums: diagonals?.address ?? 0,
    firstColumns: table(call.firstColumns),
    firstDiagonals: table(call.firstDiagonals),
    lists: heads,
    length,
    rows,
    columns,
    visibleMul: visible?.mul ?? 0,
    visibleAdd: visible?.add ?? columns,
    visibleDiv: visible?.div ?? 1,
    group: heads / k.shape[2]!,
    d,
    interleave,
    rowGroup,
    columnGroup,
    scale,
    passRows: PASS_ROWS.find((n) => n * columns <= PASS_FLOATS) ?? PASS_ROWS.at(-1)!,
    itemGroups,
  });
  encodePlaces(WeightSumsParams, params, { q });
  b.dispatch({
    kernel: 'weightSums',
    params,
    items: batch * heads * Math.ceil(groups / itemGroups),
    scratchBytes: b.runtime.scratchBytes('weightSumsScratchBytes', params),
    flops: 2 * batch * heads * interleave * d * visibleCells(visible, rows, columns),
  });
  return { columns: sums, diagonals };
}
