/**
 * Weights that learn from the tokens: a workgroup for each head of a sequence.
 *
 * @module
 */
import { FastWeightParams } from '../../generated/gpu-params.ts';
import { gpuKernel } from '../kernel.ts';

/** Tokens of a part of a mini-batch. */
const TOKENS = 16;
const MOST_LAYERS = 16;
/** Bytes that a workgroup shares beside rows and weights. */
const SMALL_BYTES = 4608;
const VECTOR = 16;

export const fastWeight = {
  fastWeight: gpuKernel(FastWeightParams, (p, { facts, scratch, refuse }) => {
    if (p.layerCount > MOST_LAYERS) refuse(`fast weights of ${p.layerCount} layers, at most ${MOST_LAYERS}`);
    // an odd number of vectors, so that the rows of tokens lie in different banks
    const stride = Math.ceil(p.widest / 4) | 1;
    const rows = (3 + 2 * p.layerCount) * TOKENS * stride;
    const rowBytes = rows * VECTOR;
    const weightBytes = p.roomy * 4;
    let room = facts.workgroupBytes - SMALL_BYTES;
    const rowsShared = rowBytes <= room;
    if (rowsShared) room -= rowBytes;
    const frozenShared = weightBytes <= room;
    const groups = p.sequenceCount * p.heads;
    const groupBytes = 3 * weightBytes + rowBytes;
    return [
      {
        shader: 'fast-weight',
        groups,
        constants: {
          FLOATS: p.qType + p.kType + p.vType === 0,
          MOMENTUM: p.rule === 2,
          READS: p.rule === 3,
          ROWS_SHARED: rowsShared,
          ROWS: rowsShared ? rows : 1,
          FROZEN_SHARED: frozenShared,
          FROZEN: frozenShared ? p.roomy / 4 : 1,
        },
        extra: { scratch: scratch(groups * groupBytes), groupBytes, weightBytes, stride },
      },
    ];
  }),
};
