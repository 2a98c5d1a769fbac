/**
 * Key blocks that chosen diagonals pass.
 *
 * @module
 */
import { SlashBlocksParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import type { Blocks } from './causal-blocks.ts';

/** What a head's blocks are: none, those of its diagonals, or those that were chosen; the order is that of assembly/select/slash-blocks.ts. */
export type BlockPattern = 'none' | 'slashes' | 'chosen';

const PATTERNS: readonly BlockPattern[] = ['none', 'slashes', 'chosen'];

/** Chosen diagonals and blocks. */
export interface SlashCall extends Blocks {
  /** One a head. */
  readonly patterns: readonly BlockPattern[];
  /** i32 [B, H, 1, words of Tk bits]: distances. */
  readonly slashes?: Tensor | undefined;
  /** i32 [B, H, R, words] */
  readonly chosen?: Tensor | undefined;
}

/** Adds bits i32 [B, H, R, words]. */
export function slashBlocks(b: Builder, batch: number, call: SlashCall): Tensor {
  const { Tq, Tk, queryBlock, keyBlock, patterns, slashes, chosen } = call;
  const [rows, words] = [Math.ceil(Tq / queryBlock), Math.ceil(Math.ceil(Tk / keyBlock) / 32)];
  const bits = b.temporary([batch, patterns.length, rows, words], 'i32');
  b.dispatch({
    kernel: 'slashBlocks',
    params: encode(SlashBlocksParams, {
      patterns: b.table(Int32Array.from(patterns, (pattern) => PATTERNS.indexOf(pattern))),
      slashes: slashes?.address ?? 0,
      slashWords: slashes?.shape[3] ?? 0,
      chosen: chosen?.address ?? 0,
      bits: bits.address,
      lists: patterns.length,
      rows,
      words,
      queries: Tq,
      distances: Tk,
      offset: Tk - Tq,
      queryBlock,
      keyBlock,
    }),
    items: batch * patterns.length * rows,
    grain: 8,
    flops: 64 * bits.size,
  });
  return bits;
}
