/**
 * What queries, one by one or in blocks, see of blocks of keys in causal attention, both aligned at their ends.
 *
 * @module
 */
import type { Tensor } from '../../tensor.ts';
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

/** Queries see blocks that end before the key behind their own. */
export function pastBlocks(q: Tensor, k: Tensor, block: number): Visible {
  return { mul: 1, add: k.shape[1]! - q.shape[1]! + 1, div: block };
}

/** Share of the causal pairs that remains where every query has its own block among `count`. */
export function blockDensity(q: Tensor, k: Tensor, block: number, count: number): number {
  const [Tq, Tk] = [q.shape[1]!, k.shape[1]!];
  let all = 0;
  let chosen = 0;
  for (let i = Math.max(0, Tq - Tk); i < Tq; ++i) {
    const seen = i + Tk - Tq + 1;
    const own = ((seen - 1) % block) + 1;
    all += seen;
    chosen += own + Math.min(seen - own, (count - 1) * block);
  }
  return all === 0 ? 1 : chosen / all;
}
