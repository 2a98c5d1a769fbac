/**
 * Columns chosen by their scores, and sets of bits.
 *
 * @module
 */
import {
  BitsParams,
  BitWeightsParams,
  BlockTokensParams,
  CoverCountParams,
  SelectParams,
} from '../../generated/gpu-params.ts';
import { type Fields, gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { THREADS, wordLanes } from './select-tiles.ts';

/** Bits of the low part of a weight, of which n may be added up in 32 bits. */
function finePart(n: number): number {
  return Math.max(1, Math.min(15, 31 - Math.ceil(Math.log2(Math.max(1, n)))));
}

function choose(p: Fields<typeof SelectParams>, items: number, BY_MASS: boolean): Pass[] {
  if (p.whole === 0 && p.columns <= 128) {
    const WIDTH = p.columns <= 32 ? 32 : p.columns <= 64 ? 64 : 128;
    const extra = { rowCount: items };
    return [{ shader: 'choose-few', groups: groupsOf(items, THREADS / WIDTH), constants: { BY_MASS, WIDTH }, extra }];
  }
  const WHOLE = p.whole !== 0;
  const fine = finePart(WHOLE ? p.rows * p.columns : p.columns);
  return [{ shader: 'choose', groups: items, constants: { BY_MASS, WHOLE }, extra: { fine } }];
}

function listed(shader: 'count-bits' | 'bit-indices' | 'block-tokens', words: number, items: number): Pass[] {
  const LANES = wordLanes(words);
  return [{ shader, groups: groupsOf(items, THREADS / LANES), constants: { LANES }, extra: { rowCount: items } }];
}

export const selectChoices = {
  selectTopK: gpuKernel(SelectParams, (p, { items }) => choose(p, items, false)),
  selectTopP: gpuKernel(SelectParams, (p, { items }) => choose(p, items, true)),
  selectAbove: gpuKernel(SelectParams, (p, { items }) => {
    const spans = Math.ceil(p.columns / THREADS);
    return [{ shader: 'above', groups: items * spans, extra: { spans } }];
  }),
  coverCount: gpuKernel(CoverCountParams, (p, { items }) => [
    { shader: 'cover-count', groups: items, extra: { fine: finePart(p.columns) } },
  ]),
  combineBits: gpuKernel(BitsParams, (p, { items }) => {
    const elements = items * p.words;
    return [{ shader: 'combine-bits', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  countBits: gpuKernel(BitsParams, (p, { items }) => listed('count-bits', p.words, items)),
  bitIndices: gpuKernel(BitsParams, (p, { items }) => listed('bit-indices', p.words, items)),
  blockTokens: gpuKernel(BlockTokensParams, (p, { items }) => listed('block-tokens', p.words, items)),
  bitWeights: gpuKernel(BitWeightsParams, (p, { items }) => {
    const elements = items * p.columns;
    return [{ shader: 'bit-weights', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
};
