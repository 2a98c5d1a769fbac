/**
 * Routing of tokens to memories: rows gathered into packed sequences, outputs weighted and summed at their tokens.
 *
 * @module
 */
import { CombineParams, GatherParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import type { SequenceSpan } from './sequences.ts';

/** Which tokens each memory of each sequence gets. */
export interface Routing {
  /** Rows in all. */
  readonly count: number;
  /** Token batch * T + t and memory of each row. */
  readonly rows: Int32Array;
  /** A sequence of rows for each memory of each sequence, memories innermost. */
  readonly sequences: readonly SequenceSpan[];
  /** First entry of each token, and row and weight (as bits) of each entry. */
  readonly offsets: Int32Array;
  readonly entries: Int32Array;
}

/** Routes tokens [B, T] by their weights [B, T, memories], zero where a memory does not take part. */
export function routeTokens(
  weights: Float32Array,
  memories: number,
  spans: readonly SequenceSpan[],
  length: number,
  tokens: number,
): Routing {
  const offsets = new Int32Array(tokens + 1);
  for (let i = 0; i < tokens * memories; ++i) if (weights[i] !== 0) offsets[Math.floor(i / memories) + 1]! += 1;
  for (let token = 0; token < tokens; ++token) offsets[token + 1]! += offsets[token]!;
  const count = offsets[tokens]!;
  const rows = new Int32Array(2 * count);
  const entries = new Int32Array(2 * count);
  const shares = new Float32Array(entries.buffer);
  const next = offsets.slice();
  const sequences: SequenceSpan[] = [];
  let row = 0;
  for (const { batch, qStart, qLength } of spans) {
    for (let m = 0; m < memories; ++m) {
      const start = row;
      for (let token = batch * length + qStart, left = qLength; left > 0; ++token, --left) {
        const weight = weights[token * memories + m]!;
        if (weight === 0) continue;
        rows.set([token, m], 2 * row);
        const entry = next[token]!++;
        entries[2 * entry] = row++;
        shares[2 * entry + 1] = weight;
      }
      sequences.push({ batch: 0, qStart: start, qLength: row - start, kStart: start, kLength: row - start, offset: 0 });
    }
  }
  return { count, rows, sequences, offsets, entries };
}

/** The first memory of x [B, T, M, ...]. */
export function firstMemory(x: Tensor): Tensor {
  const drop = (axes: readonly number[]) => [...axes.slice(0, 2), ...axes.slice(3)];
  return x.restride(drop(x.shape), drop(x.strides));
}

/** Elements of one span of rows that a thread takes. */
const SPAN = 4096;

/**
 * Rows of x [B, T, H, d] ([B, T, M, H, d] with `memories`) that `table`, a copy of the routing's rows, chooses: [1, rows, H, d], or
 * into as many rows of `into`, contiguous.
 */
export function gatherRows(
  b: Builder,
  x: Tensor,
  memories: boolean,
  table: number,
  count: number,
  into?: Tensor,
): Tensor {
  const each = memories ? firstMemory(x) : x;
  const [, length, heads, d] = each.shape as [number, number, number, number];
  const o = into ?? b.temporary([1, count, heads, d]);
  b.dispatch({
    kernel: 'gather',
    params: encode(GatherParams, {
      x: each.address,
      xStrideB: each.strides[0]!,
      xStrideT: each.strides[1]!,
      xStrideH: each.strides[2]!,
      xStrideM: memories ? x.strides[2]! : 0,
      xType: storageOf(x),
      rows: table,
      o: o.address,
      length,
      heads,
      d,
    }),
    items: count,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    flops: o.size,
  });
  return o;
}

/** Adds o [B, T, H, d] = weighted sums of rows [1, rows, H, d]. */
export function combineRows(
  b: Builder,
  rows: Tensor,
  { offsets, entries }: Pick<Routing, 'offsets' | 'entries'>,
  o: Tensor,
): void {
  const [batch, length, heads, d] = o.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'combine',
    params: encode(CombineParams, {
      o: o.address,
      oStrideB: o.strides[0]!,
      oStrideT: o.strides[1]!,
      oStrideH: o.strides[2]!,
      x: rows.address,
      offsets: b.table(offsets),
      entries: b.table(entries),
      length,
      heads,
      d,
    }),
    items: batch * length,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    flops: 2 * rows.size,
  });
}
