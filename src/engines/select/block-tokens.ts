/**
 * Chosen blocks as lists of their tokens.
 *
 * @module
 */
import { BlockTokensParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import type { IndexLists } from './bits.ts';

/** What blocks are of, and what of it rows see. */
export interface TokenBlocks {
  /** Tokens of a block, and in all. */
  readonly keyBlock: number;
  readonly length: number;
  /** Row i sees tokens [0, i + offset + 1); all if absent. */
  readonly offset?: number | undefined;
  /** Tokens that a list has room for. */
  readonly capacity: number;
}

/** Adds the tokens of the blocks whose bits i32 [B, L, R, W] are set; what lies behind the last is not set. */
export function blockTokens(b: Builder, bits: Tensor, { keyBlock, length, offset, capacity }: TokenBlocks): IndexLists {
  const [batch, lists, rows, words] = bits.shape as [number, number, number, number];
  const [aStrideB, aStrideH, aStrideR] = bits.strides as [number, number, number];
  const indices = b.temporary([batch, lists, rows, capacity], 'i32');
  const counts = b.temporary([batch, lists, rows], 'i32');
  b.dispatch({
    kernel: 'blockTokens',
    params: encode(BlockTokensParams, {
      a: bits.address,
      aStrideB,
      aStrideH,
      aStrideR,
      lists,
      rows,
      words,
      o: indices.address,
      capacity,
      counts: counts.address,
      keyBlock,
      length,
      visibleMul: offset === undefined ? 0 : 1,
      visibleAdd: offset === undefined ? length : offset + 1,
    }),
    items: batch * lists * rows,
    flops: indices.size,
  });
  return { indices, counts };
}
