/**
 * Neighborhoods in one to three dimensions.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import {
  expectOperands,
  type PatternCall,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  residuesOf,
  wholeSequences,
} from '../engines/pattern-call.ts';
import { expectContiguous, expectNames, expectTensor, finite, matchShapes } from '../engines/shapes.ts';
import { everyBatch, reordered } from '../engines/token-order.ts';
import { ShapeError } from '../errors.ts';
import {
  type Neighborhood,
  type NeighborhoodOptions,
  neighborhood,
  neighborhoodOf,
  tileOrder,
} from '../patterns/grid.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { maskedAttend } from './masked.ts';

/** Options of `neighborhoodAttention`. */
export interface NeighborhoodAttentionOptions extends PatternOptions, NeighborhoodOptions {}

const OP = 'neighborhoodAttention';
/** Names of the axes, the last ones first given to a grid. */
const AXES = ['Z', 'Y', 'X'];
/** Sides of tiles, by the number of axes: a tile fills a block of 64 keys. */
const TILES: readonly (readonly number[])[] = [[], [64], [8, 8], [4, 4, 4]];

/** Whether one axis is a window that never moves: every query sees `kernel` keys up to its own. */
function isWindow({ kernel, causal, stride }: Neighborhood): boolean {
  return kernel.length === 1 && causal[0]! && stride[0] === 1;
}

/** Lays out the call: tokens of a tile lie together, so that blocks of keys hold neighbors. */
export function planNeighborhood(
  b: Builder,
  inputs: PatternInputs,
  options: NeighborhoodAttentionOptions,
): PatternResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['kernelSize', 'dilation', 'stride', 'causal', 'scale']);
  const { q, k, v } = inputs;
  expectTensor(OP, 'q', q, '[B, X, Hq, D], [B, Y, X, Hq, D] or [B, Z, Y, X, Hq, D]');
  const axes = q.shape.length - 3;
  if (axes < 1 || axes > 3) {
    throw new ShapeError(
      `${OP}: q has shape [${q.shape}], expected [B, X, Hq, D] with one to three axes for the tokens`,
    );
  }
  const names = AXES.slice(3 - axes).join(' ');
  const sizes = matchShapes<'q' | 'k' | 'v'>(
    OP,
    { q, k, v },
    { q: `B ${names} Hq D`, k: `B ${names} Hkv D`, v: `B ${names} Hkv Dv` },
  ) as Record<'B' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>;
  const { B, Hq, D, Dv } = sizes;
  expectOperands(OP, { q, k, v }, sizes);
  expectContiguous(OP, { q, k, v });
  const grid = q.shape.slice(1, 1 + axes);
  const at = neighborhoodOf(OP, axes, options);
  const tokens = grid.reduce((n, length) => n * length, 1);
  const [o, lse] = [b.output([B, ...grid, Hq, Dv]), b.output([B, ...grid, Hq])];
  const flat = (x: Tensor) => x.reshape([B, tokens, ...x.shape.slice(1 + axes)]);
  const call: PatternCall = {
    q: flat(q),
    k: flat(k),
    v: flat(v),
    o: flat(o),
    lse: flat(lse),
    sequences: wholeSequences(B, tokens),
    scale: finite(OP, 'scale', options.scale, D ** -0.5),
    softcap: 0,
    window: [-1, -1],
  };
  if (isWindow(at)) {
    for (const classes of residuesOf(call, at.dilation[0]!))
      flashAttend(b, { ...classes, window: [at.kernel[0]! - 1, 0] });
    return { o, lse };
  }
  const order = tileOrder(grid, TILES[axes]!, at.dilation);
  const pattern = neighborhood(
    { grid, kernelSize: at.kernel, dilation: at.dilation, stride: at.stride, causal: at.causal },
    order,
  );
  if (axes === 1 && at.dilation[0] === 1) {
    maskedAttend(b, call, pattern);
    return { o, lse };
  }
  const { ordered, restore } = reordered(b, call, everyBatch(b, order.tokens, B, tokens), [B, tokens]);
  maskedAttend(b, ordered, pattern);
  restore();
  return { o, lse };
}

/**
 * Attention of each token of a grid over the kernel around it. At borders the kernel is moved inward, so that all tokens see equally many keys;
 * along causal axes it ends at the query. With a dilation it takes every so many-th token; with a stride, groups of queries share the
 * kernel of one of them.
 *
 * Shapes: q [B, ..., Hq, D], k [B, ..., Hkv, D], v [B, ..., Hkv, Dv] -> o [B, ..., Hq, Dv], lse [B, ..., Hq], for one to three axes of tokens.
 *
 * Source: Neighborhood attention (Hassani 2023), Generalized neighborhood attention (Hassani 2025); reference implementation NATTEN. A kernel
 * larger than its axis, which that refuses, sees the whole axis.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await neighborhoodAttention({ q, k, v }, { kernelSize: [7, 7], dilation: 2 })
 */
export function neighborhoodAttention(
  inputs: PatternInputs,
  options: NeighborhoodAttentionOptions,
): Promise<PatternResult> {
  return run(OP, inputs, (b) => planNeighborhood(b, inputs, options));
}

/** As `neighborhoodAttention`, to the end before it returns. */
export function neighborhoodAttentionSync(inputs: PatternInputs, options: NeighborhoodAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planNeighborhood(b, inputs, options));
}
