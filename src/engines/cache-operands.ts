/**
 * Checks of queries, keys and values of one length, for methods that choose what stays in a cache.
 *
 * @module
 */
import { ShapeError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';
import { MOST_DIM } from './attention-call.ts';
import { expectRows, expectTypes, matchShapes } from './shapes.ts';

/** Lengths by axis. */
export type CacheSizes = Readonly<Record<'B' | 'T' | 'Tk' | 'Hq' | 'Hkv' | 'D' | 'Dv', number>>;

/**
 * Sizes of q [B, T, Hq, D], k [B, T, Hkv, D] and v [B, T, Hkv, Dv], or of keys of a length Tk of their own; f32, f16 or bf16.
 *
 * @throws ShapeError, DTypeError if they do not fit.
 */
export function expectAttention(
  op: string,
  { q, k, v }: { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor },
  keys: 'T' | 'Tk' = 'T',
): CacheSizes {
  const axes = { q: 'B T Hq D', k: `B ${keys} Hkv D`, v: `B ${keys} Hkv Dv` };
  const sizes = matchShapes(op, { q, k, v }, axes) as CacheSizes;
  const { Hq, Hkv, D, Dv } = sizes;
  if (Hkv === 0 || Hq % Hkv !== 0) {
    throw new ShapeError(`${op}: ${Hq} query heads cannot share ${Hkv} key/value heads: Hq must be a multiple of Hkv`);
  }
  if (D < 1 || D > MOST_DIM || Dv < 1 || Dv > MOST_DIM) {
    throw new ShapeError(`${op}: head dimensions are ${D} and ${Dv}, expected 1 to ${MOST_DIM}`);
  }
  expectTypes(op, { q, k, v }, ['f32', 'f16', 'bf16']);
  expectRows(op, { q, k, v });
  return sizes;
}
