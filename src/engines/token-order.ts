/**
 * Tokens in another order: gathered for an engine, and results put back.
 *
 * @module
 */
import { ScatterParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { PatternCall } from './pattern-call.ts';
import { gatherRows } from './routing.ts';

/** Elements of one span of rows that a thread takes. */
const SPAN = 4096;

/** Tokens of a tensor [B, T, ...] in the order in which rows are wanted. */
export interface TokenOrder {
  /** Number of rows. */
  readonly count: number;
  /** Address of i32 [count, 2]: token b * T + t, and 0. */
  readonly table: number;
}

/** The order as the kernels read it; `tokens` are numbers b * T + t. */
export function tokenOrder(b: Builder, tokens: ArrayLike<number>): TokenOrder {
  const rows = new Int32Array(2 * tokens.length);
  for (let i = 0; i < tokens.length; ++i) rows[2 * i] = tokens[i]!;
  return { count: tokens.length, table: b.table(rows) };
}

/** An order of the tokens of one batch entry, for all of them. */
export function everyBatch(b: Builder, order: ArrayLike<number>, batches: number, length: number): TokenOrder {
  const tokens = new Int32Array(batches * order.length);
  for (let batch = 0; batch < batches; ++batch) {
    for (let i = 0; i < order.length; ++i) tokens[batch * order.length + i] = batch * length + order[i]!;
  }
  return tokenOrder(b, tokens);
}

/** Rows f32 [1, count, H, d] of x [B, T, H, d]. */
export function gatherTokens(b: Builder, x: Tensor, { table, count }: TokenOrder): Tensor {
  return gatherRows(b, x, false, table, count);
}

/** Adds o[token] = row for rows f32 [1, count, H, d] and o f32 [B, T, H, d]; no token may be chosen twice. */
export function scatterTokens(b: Builder, rows: Tensor, { table, count }: TokenOrder, o: Tensor): void {
  const [, length, heads, d] = o.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'scatter',
    params: encode(ScatterParams, {
      x: rows.address,
      rows: table,
      o: o.address,
      oStrideB: o.strides[0]!,
      oStrideT: o.strides[1]!,
      oStrideH: o.strides[2]!,
      length,
      heads,
      d,
    }),
    items: count,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    flops: rows.size,
  });
}

/** lse [.., H] as rows of one head. */
export function asRows(lse: Tensor): Tensor {
  const [batch, length, heads] = lse.shape as [number, number, number];
  return lse.restride([batch, length, 1, heads], [lse.strides[0]!, lse.strides[1]!, heads, lse.strides[2]!]);
}

/**
 * The call on tokens in an order, which has `length` of them for each of `batches` sequences, with results of its own, and what puts those
 * back where `call` wants them.
 */
export function reordered(
  b: Builder,
  call: PatternCall,
  order: TokenOrder,
  [batches, length]: readonly [batches: number, length: number],
): { ordered: PatternCall; restore: () => void } {
  const rows = (x: Tensor) => gatherTokens(b, x, order).reshape([batches, length, ...x.shape.slice(2)]);
  const [heads, dv] = [call.q.shape[2]!, call.v.shape[3]!];
  const o = b.temporary([batches, length, heads, dv]);
  const lse = b.temporary([batches, length, heads]);
  const sequences = Array.from({ length: batches }, (_, batch) => ({
    batch,
    qStart: 0,
    qLength: length,
    kStart: 0,
    kLength: length,
    offset: 0,
  }));
  const ordered = { ...call, q: rows(call.q), k: rows(call.k), v: rows(call.v), o, lse, sequences };
  const restore = () => {
    scatterTokens(b, o.reshape([1, order.count, heads, dv]), order, call.o);
    scatterTokens(b, lse.reshape([1, order.count, 1, heads]), order, asRows(call.lse));
  };
  return { ordered, restore };
}
