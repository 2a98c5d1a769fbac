import type { AttentionInputs } from './attention.ts';
import { alignment, attendChosen } from './chosen.ts';
import { float64, type NdArray, type Result, type Round } from './ndarray.ts';
import { poolBlocks, scoreMap, selectTopK } from './select.ts';

type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Options of moba. */
export interface MobaOptions {
  chunkSize: number;
  topk: number;
  scale?: number;
}

/** Chunks of each query and head: its own, counted among the topk, and those whose mean key scores highest. */
export function chooseMoba({ q, k }: Inputs, { chunkSize, topk }: MobaOptions, round: Round = float64): Result {
  const gates = scoreMap({ q, k: poolBlocks(k, chunkSize, 'mean', round), scale: 1 }, round);
  return selectTopK(gates, topk, {
    visible: { mul: 1, add: alignment(q, k) + chunkSize, div: chunkSize },
    last: 1,
  });
}

/** Mixture of block attention (arXiv 2502.13189, moba_attn_varlen_naive). */
export function moba(
  inputs: Inputs,
  options: MobaOptions,
  round: Round = float64,
  chosen: NdArray = chooseMoba(inputs, options, round),
): { o: Result; lse: Result } {
  const columnOf = (j: number) => Math.floor(j / options.chunkSize);
  return attendChosen(inputs, chosen, { columnOf, causal: true, scale: options.scale }, round);
}
