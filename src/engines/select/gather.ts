/**
 * Rows of heads in an order of their own, and back.
 *
 * @module
 */
import { GatherHeadsParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';

/** What becomes of several rows of one token; the order is that of assembly/select/gather.ts. */
const COMBINATIONS = ['assign', 'add', 'mean'] as const;

export type Combination = (typeof COMBINATIONS)[number];

/** Elements of an item. */
const SPAN = 8192;
/** Tokens of an item that rows are scattered to: every item reads the whole order. */
const TOKENS = 1024;

/** Values [B, T, H] as rows of one number. */
function asRows(x: Tensor): Tensor {
  return x.shape.length === 4 ? x : x.restride([...x.shape, 1], [...x.strides, 1]);
}

/**
 * Adds [B * G, n, 1, D] of x [B, T, H, D]: for group g of G = max(H, L) the rows of head floor(g H / G) that list floor(g L / G) of
 * order i32 [B, L, n] names; what is no token (such as -1) gives zeros. Of values x [B, T, H]: [B * G, n, 1].
 */
export function gatherHeads(b: Builder, x: Tensor, order: Tensor): Tensor {
  const source = asRows(x);
  const [batch, length, heads, d] = source.shape as [number, number, number, number];
  const [, lists, n] = order.shape as [number, number, number];
  const groups = Math.max(heads, lists);
  const rows = b.temporary([batch * groups, n, 1, ...x.shape.slice(3)]);
  const span = Math.max(1, Math.ceil(SPAN / Math.max(1, d)));
  const params = encode(GatherHeadsParams, {
    xType: storageOf(x),
    order: order.address,
    orderStrideB: order.strides[0]!,
    orderStrideH: order.strides[1]!,
    rows: rows.address,
    heads,
    lists,
    groups,
    length,
    n,
    d,
    span,
  });
  encodePlaces(GatherHeadsParams, params, { x: source });
  b.dispatch({ kernel: 'gatherHeads', params, items: batch * groups * Math.ceil(n / span), flops: rows.size });
  return rows;
}

/**
 * Adds the way back: rows [B * G, n, 1, D] at the tokens that order i32 [B, L, n] (L divides G) names, [B, T, G, D], zeros where none
 * is. Several rows of one token: the last, their sum or their mean. Of values [B * G, n, 1]: [B, T, G]. `into`: a tensor to write to.
 */
export function scatterHeads(
  b: Builder,
  rows: Tensor,
  order: Tensor,
  length: number,
  combine: Combination,
  into?: Tensor,
): Tensor {
  const [batch, lists, n] = order.shape as [number, number, number];
  const groups = batch === 0 ? lists : rows.shape[0]! / batch;
  const d = rows.shape[3] ?? 1;
  const o = into ?? b.temporary([batch, length, groups, ...rows.shape.slice(3)]);
  const span = Math.max(1, Math.min(length, TOKENS));
  const params = encode(GatherHeadsParams, {
    order: order.address,
    orderStrideB: order.strides[0]!,
    orderStrideH: order.strides[1]!,
    rows: rows.address,
    heads: groups,
    lists,
    groups,
    length,
    n,
    d,
    span,
    combine: COMBINATIONS.indexOf(combine),
  });
  encodePlaces(GatherHeadsParams, params, { x: asRows(o) });
  b.dispatch({
    kernel: 'scatterHeads',
    params,
    items: batch * groups * Math.ceil(length / span),
    scratchBytes: span * 4,
    flops: rows.size,
  });
  return o;
}
