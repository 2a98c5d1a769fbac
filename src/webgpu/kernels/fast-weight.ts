/**
 * Weights that learn from the tokens: a workgroup for each head of a sequence.
 *
 * @module
 */
import { FastWeightParams } from '../../generated/params.ts';
import { gpuKernel } from '../kernel.ts';

/** Tokens of a part of a mini-batch. */
const TOKENS = 16;
const MOST_LAYERS = 16;
/** Bytes that a workgroup shares beside rows and weights. */
const SMALL_BYTES = 4608;
const VECTOR = 16;
/** Vectors of weights that a shader is made for: heads of 32 and 64 elements with their biases. */
const SIZES = [320, 1088];

export const fastWeight = {
  fastWeight: gpuKernel(FastWeightParams, (p, { facts, scratch, refuse }) => {
    if (p.layerCount > MOST_LAYERS) refuse(`fast weights of ${p.layerCount} layers, at most ${MOST_LAYERS}`);
    // an odd number of vectors, so that the rows of tokens lie in different banks
    const stride = Math.ceil(p.widest / 4) | 1;
    const rows = ((3 + 2 * p.layerCount) * TOKENS + 2) * stride;
    const sizes = { rows: Math.ceil(rows / 512) * 512, frozen: SIZES.find((n) => n >= p.roomy / 4) ?? p.roomy / 4 };
    let room = facts.workgroupBytes - SMALL_BYTES;
    const rowsShared = sizes.rows * VECTOR <= room;
    if (rowsShared) room -= sizes.rows * VECTOR;
    const frozenShared = sizes.frozen * VECTOR <= room;
    const weightBytes = p.roomy * 4;
    const groups = p.sequenceCount * p.heads;
    const groupBytes = 3 * weightBytes + rows * VECTOR;
    return [
      {
        shader: 'fast-weight',
        groups,
        constants: {
          FLOATS: p.qType + p.kType + p.vType === 0,
          DEEP: p.layerCount > 1,
          MOMENTUM: p.rule === 2,
          READS: p.rule === 3,
          ROWS_SHARED: rowsShared,
          ROWS: rowsShared ? sizes.rows : 1,
          FROZEN_SHARED: frozenShared,
          FROZEN: frozenShared ? sizes.frozen : 1,
        },
        extra: { scratch: scratch(groups * groupBytes), groupBytes, weightBytes, stride },
      },
    ];
  }),
};
