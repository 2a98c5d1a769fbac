/**
 * Checks of what comes into the cache of a layer.
 *
 * @module
 */
import { MOST_DIM } from '../engines/attention-call.ts';
import { expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import type { LayerQuery, LayerSize } from './layer-cache.ts';

/** @throws OptionError if a size is no whole number in range. */
export function expectSize(op: string, { layer, layers, kvHeads, headDim, capacity }: LayerSize): void {
  whole(op, 'layers', layers, 1, 1);
  whole(op, 'layer', layer, 0, 0, layers - 1);
  whole(op, 'kvHeads', kvHeads, 1, 1);
  whole(op, 'headDim', headDim, 1, 1, MOST_DIM);
  whole(op, 'capacity', capacity, 1, 1);
}

/** How many tokens f32 k and v [1, T, Hkv, D] are. @throws ShapeError, DTypeError if they do not fit the layer. */
export function expectTokens(op: string, { kvHeads, headDim }: LayerSize, k: Tensor, v: Tensor): number {
  const axes = `1 T ${kvHeads} ${headDim}`;
  const { T } = matchShapes(op, { k, v }, { k: axes, v: axes });
  expectTypes(op, { k, v }, ['f32']);
  expectRows(op, { k, v });
  return T!;
}

/** How many queries f32 q [1, T, Hq, D] are. @throws ShapeError, DTypeError, OptionError if they do not fit the layer. */
export function expectQuery(
  op: string,
  { kvHeads, headDim }: LayerSize,
  { q }: LayerQuery,
  most: number,
  what: string,
): number {
  const { T, Hq } = matchShapes(op, { q }, { q: `1 T Hq ${headDim}` }) as { T: number; Hq: number };
  expectTypes(op, { q }, ['f32']);
  expectRows(op, { q });
  if (Hq === 0 || Hq % kvHeads !== 0) {
    throw new ShapeError(`${op}: q has ${Hq} heads, expected a multiple of the cache's ${kvHeads} key/value heads`);
  }
  if (T > most) throw new OptionError(`${op}: q has ${T} queries for ${most} ${what}. Append their tokens first.`);
  return T;
}

/** @throws OptionError if `to` is not a number of tokens from 0 to the length. */
export function expectLength(op: string, to: number, length: number): void {
  whole(op, 'length', to, 0, 0, length);
}
