/**
 * Causal attention on blocks of keys that every query chooses.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { suitsDecode } from './decode.ts';
import { flashAttend } from './flash.ts';
import { indexAttend } from './index-attention.ts';
import { blockTokens } from './select/block-tokens.ts';
import { blockDensity } from './select/causal-blocks.ts';

/** What every query chose. */
export interface BlockChoice {
  /** i32 [B, L, Tq, W] */
  readonly bits: Tensor;
  /** Keys of a block. */
  readonly keyBlock: number;
  /** Blocks of a query, its own among them. */
  readonly count: number;
}

/** Adds causal attention on chosen blocks: few queries take lists of their keys, which flash would pack first. */
export function attendBlocks(b: Builder, call: AttentionCall, { bits, keyBlock, count }: BlockChoice): void {
  const { q, k } = call;
  const [Tq, Tk] = [q.shape[1]!, k.shape[1]!];
  if (!suitsDecode(call)) {
    const density = blockDensity(q, k, keyBlock, count);
    flashAttend(b, call, { selection: { bits, queryBlock: 1, keyBlock, density } });
    return;
  }
  const capacity = Math.min(Tk, Math.max(1, count) * keyBlock);
  indexAttend(b, call, blockTokens(b, bits, { keyBlock, length: Tk, offset: Tk - Tq, capacity }));
}
