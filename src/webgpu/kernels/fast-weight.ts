/**
 * Weights that learn from the tokens: a workgroup for each head of a sequence.
 *
 * @module
 */
import { FastWeightParams, MesaParams, SwigluParams } from '../../generated/gpu-params.ts';
import { gpuKernel, roundUp } from '../kernel.ts';

/** Tokens of a part of a mini-batch. */
const TOKENS = 16;
const MOST_LAYERS = 16;
/** Bytes that a workgroup shares beside rows and weights. */
const SMALL_BYTES = 4608;
const VECTOR = 16;
/** Vectors of weights that a shader is made for: heads of 32 and 64 elements with their biases. */
const SIZES = [320, 1088];

/** Tokens that SwiGLU weights take together. */
const SWIGLU_BLOCK = 64;
/** Bytes that a workgroup of mesa shares beside rows and H_kk. */
const MESA_BYTES = 2560;
/** Vectors of H_kk that a shader is made for: heads of 32 and 64 elements. */
const MESA_SIZES = [256, 1024];

const mesa = (states: boolean) =>
  gpuKernel(MesaParams, (p, { items, facts, scratch }) => {
    const [k, v] = [Math.ceil(p.dk / 4), Math.ceil(p.dv / 4)];
    const stride = Math.max(k, v) | 1;
    const rows = 6 * TOKENS * stride;
    const sizes = { rows: roundUp(rows, 512), state: MESA_SIZES.find((n) => n >= 4 * k * k) ?? 4 * k * k };
    let room = facts.workgroupBytes - MESA_BYTES;
    const rowsShared = sizes.rows * VECTOR <= room;
    if (rowsShared) room -= sizes.rows * VECTOR;
    const stateShared = sizes.state * VECTOR <= room;
    const groupBytes = (4 * k * (k + v) + rows) * VECTOR;
    return [
      {
        shader: 'mesa',
        groups: items,
        constants: {
          STATES: states,
          ROWS_SHARED: rowsShared,
          ROWS: rowsShared ? sizes.rows : 1,
          STATE_SHARED: stateShared,
          STATE: stateShared ? sizes.state : 1,
        },
        extra: { scratch: scratch(items * groupBytes), groupBytes, stride },
      },
    ];
  });

export const fastWeight = {
  mesa: mesa(false),
  mesaStates: mesa(true),
  fastWeight: gpuKernel(FastWeightParams, (p, { facts, scratch, refuse }) => {
    if (p.layerCount > MOST_LAYERS) refuse(`fast weights of ${p.layerCount} layers, at most ${MOST_LAYERS}`);
    // an odd number of vectors, so that the rows of tokens lie in different banks
    const stride = Math.ceil(p.widest / 4) | 1;
    const rows = ((3 + 2 * p.layerCount) * TOKENS + 2) * stride;
    const sizes = { rows: roundUp(rows, 512), frozen: SIZES.find((n) => n >= p.roomy / 4) ?? p.roomy / 4 };
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
  swiglu: gpuKernel(SwigluParams, (p, { scratch }) => {
    const [small, large] = [p.dh * p.dk, p.dv * p.dh];
    const widest = Math.max(p.dh, p.dk, p.dv);
    const tokens = 5 * SWIGLU_BLOCK * widest;
    const sides = [Math.min(p.dh, p.dk), Math.min(p.dv, p.dh)];
    const orthogonal = p.muon ? Math.max(small, large) + 2 * Math.max(...sides) ** 2 : 0;
    const elements = 2 * (2 * small + large) + 2 * p.dh + p.dv + tokens + orthogonal;
    const groups = p.sequenceCount * p.heads;
    const groupBytes = Math.ceil(elements / 16) * 64;
    return [{ shader: 'swiglu', groups, extra: { scratch: scratch(groups * groupBytes), groupBytes } }];
  }),
};
