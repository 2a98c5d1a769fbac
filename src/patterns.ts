/**
 * Patterns by name, to make block masks of: `blockMask(patterns.strided({ stride: 128, causal: true }), { Tq, Tk })`.
 *
 * @module
 */
export { causal, documents, window } from './pattern.ts';
export { and, not, or, perHead } from './patterns/combine.ts';
export { type BigbirdBlocks, bigbird, longformer } from './patterns/global.ts';
export { type NeighborhoodOptions, type SlidingTileOptions, swin } from './patterns/grid.ts';
export { duoAttention, moaAttention } from './patterns/heads.ts';
export { blockwise, dilated, fixed, logsparse, sinks, streamingLlm, strided } from './patterns/tokens.ts';
export {
  type RadialOptions,
  radial,
  type SparseVideoGenOptions,
  sparseVideoGen,
  type VideoHead,
} from './patterns/video.ts';

import type { Pattern } from './pattern.ts';
import * as grid from './patterns/grid.ts';

/**
 * Each token of a grid sees the kernel around it, moved inward at borders, among the tokens of its dilation group (Neighborhood attention, Hassani
 * 2023, with NATTEN's strides and causal axes). Tokens lie row by row.
 *
 * @throws OptionError for options that do not fit.
 */
export function neighborhood(options: grid.NeighborhoodOptions & { readonly grid: readonly number[] }): Pattern {
  return grid.neighborhood(options);
}

/**
 * Each tile of a grid sees the tiles of a window around it, moved inward at borders; tokens behind the grid see everything and are seen by
 * everything (Sliding tile attention, Zhang 2025). Tokens lie row by row.
 *
 * @throws OptionError for options that do not fit.
 */
export function slidingTile(options: grid.SlidingTileOptions): Pattern {
  return grid.slidingTile(options);
}
