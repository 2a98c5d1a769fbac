/**
 * FlexPrefill's heads: which of them are query-aware, and the blocks of columns, diagonals and pairs that each one sees.
 *
 * @module
 */
import { QueryAwareParams, StripeBlocksParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';

/** What decides on a head. */
export interface QueryAwareCall {
  /** f32 [B, H, 1, C]: guessed weights of blocks, and sums of true ones over `count` rows. */
  readonly guess: Tensor;
  readonly sums: Tensor;
  readonly count: number;
  readonly tau: number;
  /** i32 [2, B, H]: budgets of columns and diagonals, which become `least` where a head is query-aware. */
  readonly budgets: Tensor;
  readonly least: number;
}

/** Adds i32 [B, H]: 1 where a head is query-aware. */
export function queryAware(b: Builder, { guess, sums, count, tau, budgets, least }: QueryAwareCall): Tensor {
  const [batch, heads, , columns] = guess.shape as [number, number, number, number];
  const aware = b.temporary([batch, heads], 'i32');
  b.dispatch({
    kernel: 'queryAware',
    params: encode(QueryAwareParams, {
      guess: guess.address,
      sums: sums.address,
      aware: aware.address,
      budgets: budgets.address,
      lists: batch * heads,
      columns,
      count,
      least,
      tau,
    }),
    items: batch * heads,
    flops: 16 * guess.size,
  });
  return aware;
}

/** Adds bits i32 [B, H, R, W] of columns and diagonals i32 [B, H, 1, W], and of pairs i32 [B, H, R, W] where a head is query-aware. */
export function stripeBlocks(b: Builder, columns: Tensor, diagonals: Tensor, pairs: Tensor, aware: Tensor): Tensor {
  const [, , rows, words] = pairs.shape as [number, number, number, number];
  const bits = b.temporary(pairs.shape, 'i32');
  b.dispatch({
    kernel: 'stripeBlocks',
    params: encode(StripeBlocksParams, {
      columns: columns.address,
      diagonals: diagonals.address,
      pairs: pairs.address,
      aware: aware.address,
      bits: bits.address,
      rows,
      words,
    }),
    items: bits.size / words || 0,
    grain: 32,
    flops: 32 * bits.size,
  });
  return bits;
}
