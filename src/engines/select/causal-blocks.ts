/**
 * What blocks of queries see of blocks of keys in causal attention, both aligned at their ends.
 *
 * @module
 */
import type { Visible } from './map.ts';

/** Lengths and blocks. */
export interface Blocks {
  readonly Tq: number;
  readonly Tk: number;
  readonly queryBlock: number;
  readonly keyBlock: number;
}

/** Row r sees the key blocks up to the one of its last query's own place. */
export function causalBlocks({ Tq, Tk, queryBlock, keyBlock }: Blocks): Visible {
  return { mul: queryBlock, add: queryBlock - 1 + Tk - Tq + keyBlock, div: keyBlock };
}

/** How many of the last key blocks that a row sees hold places of its own queries. */
export function ownBlocks({ Tq, Tk, queryBlock, keyBlock }: Blocks): number {
  const within = (((Tk - Tq) % keyBlock) + keyBlock) % keyBlock;
  return Math.ceil((within + queryBlock) / keyBlock);
}
