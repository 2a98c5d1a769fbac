/**
 * Causal choices of blocks of keys, one of every query.
 *
 * @module
 */
import type { Tensor } from '../../tensor.ts';
import type { Visible } from './map.ts';

/** Queries see blocks up to that of the key that they are aligned with. */
export function ownBlocks(q: Tensor, k: Tensor, block: number): Visible {
  return { mul: 1, add: k.shape[1]! - q.shape[1]! + block, div: block };
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
