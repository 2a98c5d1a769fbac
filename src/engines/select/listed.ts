/**
 * Lists of keys: scored where they lie, and made shorter by what the scores choose.
 *
 * @module
 */
import { LabelTokensParams, ListScoreParams, PickParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { IndexLists } from './bits.ts';
import { mapFields, type Visible } from './map.ts';

/** Keys at the start and at the end of what a query sees that are taken in any case. */
export interface ForcedKeys {
  readonly first: number;
  readonly last: number;
}

/** Fields that kernels on lists share, of q [B, Tq, Hq, D] and as many keys of each of some heads. */
export function listedFields(q: Tensor, { indices, counts }: IndexLists, o: Tensor, kvHeads: number) {
  const [, rows, heads, d] = q.shape as [number, number, number, number];
  return {
    qType: storageOf(q),
    indices: indices.address,
    counts: counts.address,
    o: o.address,
    lists: heads,
    rows,
    group: heads / kvHeads,
    d,
  };
}

/** Adds scores f32 [B, Hq, Tq, width] of the keys of lists (contiguous): -Infinity behind the last, and where one is taken in any case. */
export function listScores(
  b: Builder,
  { q, k, scale }: { readonly q: Tensor; readonly k: Tensor; readonly scale: number },
  lists: IndexLists,
  { first, last }: ForcedKeys,
): Tensor {
  const o = b.temporary(lists.indices.shape);
  const params = encode(ListScoreParams, listedFields(q, lists, o, k.shape[2]!), {
    kType: storageOf(k),
    columns: k.shape[1]!,
    scale,
    first,
    last,
    width: lists.indices.shape[3]!,
  });
  encodePlaces(ListScoreParams, params, { q, k });
  b.dispatch({
    kernel: 'listScores',
    params,
    items: lists.counts.size,
    scratchBytes: b.runtime.scratchBytes('listScoresScratchBytes', params),
    flops: 2 * o.size * k.shape[3]!,
  });
  return o;
}

/** Adds the entries of lists whose bits i32 [B, L, Tq, W] are set, at most `most`, with the keys that are taken in any case. */
export function pickListed(
  b: Builder,
  lists: IndexLists,
  bits: Tensor,
  most: number,
  columns: number,
  { first, last }: ForcedKeys,
): IndexLists {
  const [batch, heads, rows, width] = lists.indices.shape as [number, number, number, number];
  const capacity = Math.min(columns, most + first + last);
  const indices = b.temporary([batch, heads, rows, capacity], 'i32');
  const counts = b.temporary([batch, heads, rows], 'i32');
  b.dispatch({
    kernel: 'pickListed',
    params: encode(PickParams, {
      indices: lists.indices.address,
      listCounts: lists.counts.address,
      width,
      bits: bits.address,
      words: bits.shape[3]!,
      o: indices.address,
      capacity,
      counts: counts.address,
      rows,
      columns,
      first,
      last,
    }),
    items: counts.size,
    flops: indices.size + bits.size,
  });
  return { indices, counts };
}

/** Adds bits i32 [B, Hq, Tq, W] of the tokens whose labels i32 [B, Hkv, Tk] have their bit in `chosen` i32 [B, Hq, Tq, words of labels]. */
export function labelTokens(
  b: Builder,
  chosen: Tensor,
  labels: Tensor,
  count: number,
  visible: Visible,
  { first, last }: ForcedKeys,
): Tensor {
  const [batch, heads, rows, labelWords] = chosen.shape as [number, number, number, number];
  const [, kvHeads, length] = labels.shape as [number, number, number];
  const words = Math.ceil(length / 32);
  const bits = b.temporary([batch, heads, rows, words], 'i32');
  const shape = { ...mapFields(chosen, visible), columns: length };
  b.dispatch({
    kernel: 'labelTokens',
    params: encode(LabelTokensParams, shape, {
      chosen: chosen.address,
      labelWords,
      count,
      labels: labels.address,
      labelsStrideB: labels.strides[0]!,
      labelsStrideH: labels.strides[1]!,
      bits: bits.address,
      words,
      group: heads / kvHeads,
      first,
      last,
    }),
    items: batch * heads * rows,
    flops: 32 * bits.size,
  });
  return bits;
}
