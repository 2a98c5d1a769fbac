/**
 * Keys of a prompt that its last queries vote for.
 *
 * @module
 */
import { PoolVotesParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { selectIndices } from './select/bits.ts';
import { selectTopK } from './select/choose.ts';
import { weightSums } from './select/weight-sums.ts';

/** How votes of neighbours are pooled. */
export type VotePooling = 'avg' | 'max';
export const VOTE_POOLING: readonly VotePooling[] = ['avg', 'max'];

/** What is voted on, and how many keys stay. */
export interface WindowVotes {
  /** `[B, queries, Hq, D]`: the last queries of a prompt, at least `window` of them; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, T, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
  readonly scale: number;
  /** Last tokens, whose queries vote and which stay. */
  readonly window: number;
  /** Keys that stay, the window's among them; at least `window`. */
  readonly capacity: number;
  readonly kernelSize: number;
  readonly pooling: VotePooling;
}

/**
 * Adds i32 [B, Hkv, 1, min(T, capacity)], in ascending order, and counts i32 [B, Hkv, 1]: the last `window` keys, and of those before them
 * the ones with the most votes: of equals the earliest.
 */
export function votedKeys(b: Builder, call: WindowVotes): { readonly indices: Tensor; readonly counts: Tensor } {
  const { q, k, scale, kernelSize, pooling } = call;
  const [batch, length, kvHeads] = k.shape as [number, number, number];
  const [queries, heads] = [q.shape[1]!, q.shape[2]!];
  const window = Math.min(call.window, length);
  const capacity = Math.min(call.capacity, length);
  const votes = b.temporary([batch, kvHeads, 1, length]);
  // a choice of all reads no votes
  if (window < capacity && capacity < length) {
    const { columns } = weightSums(b, {
      q: q.slice(1, queries - window, queries),
      k,
      scale,
      visible: { mul: 1, add: length - window + 1, div: 1 },
      rowGroup: window,
    });
    const group = heads / kvHeads;
    const prefix = length - window;
    const params = encode(PoolVotesParams, {
      sums: columns.address,
      votes: votes.address,
      group,
      length,
      prefix,
      kernelSize,
      largest: pooling === 'max' ? 1 : 0,
    });
    b.dispatch({
      kernel: 'poolVotes',
      params,
      items: batch * kvHeads,
      scratchBytes: b.runtime.scratchBytes('poolVotesScratchBytes', params),
      flops: batch * kvHeads * prefix * (group + kernelSize),
    });
  }
  const bits = selectTopK(b, votes, { k: capacity, last: window });
  b.note(() => `the last ${window} queries vote for ${capacity - window} of ${length - window} keys before them`);
  return selectIndices(b, bits, capacity);
}
