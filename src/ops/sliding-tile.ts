/**
 * Windows of tiles.
 *
 * @module
 */
import { type PatternInputs, type PatternOptions, type PatternResult, patternCall } from '../engines/pattern-call.ts';
import { everyBatch, reordered } from '../engines/token-order.ts';
import { ShapeError } from '../errors.ts';
import { type SlidingTileOptions, slidingTile, slidingTilesOf, tileOrder, tokensOf } from '../patterns/grid.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { maskedAttend } from './masked.ts';

/** Options of `slidingTileAttention`. */
export interface SlidingTileAttentionOptions extends PatternOptions, SlidingTileOptions {}

const OP = 'slidingTileAttention';

/** Lays out the call: tiles lie together, then what comes behind the grid. */
export function planSlidingTile(
  b: Builder,
  inputs: PatternInputs,
  options: SlidingTileAttentionOptions,
): PatternResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, { options: ['grid', 'tile', 'window'] });
  const { B, T } = sizes;
  const tiles = slidingTilesOf(OP, options);
  const video = tokensOf(tiles.grid);
  if (video > T) {
    throw new ShapeError(`${OP}: a grid of ${tiles.grid.join(' x ')} has ${video} tokens, but T is ${T}`);
  }
  const order = tileOrder(tiles.grid, tiles.tile);
  const all = new Int32Array(T);
  all.set(order.tokens);
  for (let t = video; t < T; ++t) all[t] = t;
  const { ordered, restore } = reordered(b, call, everyBatch(b, all, B, T), [B, T]);
  maskedAttend(b, ordered, slidingTile(tiles, order));
  restore();
  return { o: call.o, lse: call.lse };
}

/**
 * Attention of each tile of a grid over the tiles of a window around it, moved inward at borders. Tokens behind the grid, such as text, see
 * everything and are seen by everything. Tokens of the grid lie row by row; tiles at its end may be smaller.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq], T at least the tokens of the grid.
 *
 * Source: Sliding tile attention (Zhang 2025); reference implementation attention-gym, masks/sta.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await slidingTileAttention({ q, k, v }, { grid: [12, 16, 16], tile: [4, 4, 4], window: [3, 3, 3] })
 */
export function slidingTileAttention(
  inputs: PatternInputs,
  options: SlidingTileAttentionOptions,
): Promise<PatternResult> {
  return run(OP, inputs, (b) => planSlidingTile(b, inputs, options));
}

/** As `slidingTileAttention`, to the end before it returns. */
export function slidingTileAttentionSync(inputs: PatternInputs, options: SlidingTileAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planSlidingTile(b, inputs, options));
}
