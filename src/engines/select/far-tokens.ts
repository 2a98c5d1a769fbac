/**
 * Blocks of keys beyond a window: what stands for them, and lists of those that are seen.
 *
 * @module
 */
import { FarTokensParams, RepresentativesParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { IndexLists } from './bits.ts';

/** Keys before the first block, and of a block. */
export interface FarBlocks {
  readonly first: number;
  readonly block: number;
}

/** Blocks that are whole among so many keys. */
export function wholeBlocks(length: number, { first, block }: FarBlocks): number {
  return Math.max(0, Math.floor((length - first) / block));
}

/** Adds o f32 [B, blocks, Hkv, D]: the mean of each block's `count` keys of the highest scores f32 [B, Hkv, Tk], or of all. */
export function representatives(
  b: Builder,
  k: Tensor,
  scores: Tensor | undefined,
  { first, block, count }: FarBlocks & { readonly count: number },
  o: Tensor,
): void {
  const [batch, length, heads, d] = k.shape as [number, number, number, number];
  const blocks = o.shape[1]!;
  const params = encode(RepresentativesParams, {
    kType: storageOf(k),
    scores: scores?.address ?? 0,
    o: o.address,
    length,
    heads,
    d,
    first,
    block,
    count,
    blocks,
  });
  encodePlaces(RepresentativesParams, params, { k });
  b.dispatch({
    kernel: 'representatives',
    params,
    items: batch * blocks * heads,
    scratchBytes: 4 * (block + d),
    flops: o.size * block,
  });
}

/** Adds lists [B, 1, Tq, ..] of the keys beyond each query's window: the first, of chosen blocks i32 [B, 1, Tq, W], and of no whole block. */
export function farTokens(
  b: Builder,
  bits: Tensor,
  {
    first,
    block,
    window,
    most,
    columns,
  }: FarBlocks & {
    readonly window: number;
    /** Blocks that are chosen at most. */
    readonly most: number;
    readonly columns: number;
  },
): IndexLists {
  const [batch, , rows, words] = bits.shape as [number, number, number, number];
  const capacity = Math.min(columns, first + (most + 1) * block);
  const indices = b.temporary([batch, 1, rows, capacity], 'i32');
  const counts = b.temporary([batch, 1, rows], 'i32');
  b.dispatch({
    kernel: 'farTokens',
    params: encode(FarTokensParams, {
      bits: bits.address,
      words,
      o: indices.address,
      capacity,
      counts: counts.address,
      rows,
      columns,
      first,
      block,
      window,
    }),
    items: batch * rows,
    flops: indices.size,
  });
  return { indices, counts };
}
