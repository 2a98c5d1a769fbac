/**
 * Short convolutions along time and over images.
 *
 * @module
 */
import { CausalConvParams, CenteredConvParams, DepthwiseConv2dParams } from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

const THREADS = 256;

export const conv = {
  causalConv: gpuKernel(CausalConvParams, (p, { items }) => {
    const pieces = groupsOf(p.blockD, 64) * groupsOf(p.blockT, 32);
    return [
      { shader: 'causal-conv', groups: items * pieces, extra: { pieces } },
      { shader: 'causal-conv-state', groups: p.taps > 1 ? groupsOf(p.sequenceCount * p.channels, 64) : 0 },
    ];
  }),
  centeredConv: gpuKernel(CenteredConvParams, (p, { items }) => {
    const elements = items * p.heads * p.d;
    return [{ shader: 'centered-conv', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  depthwiseConv2d: gpuKernel(DepthwiseConv2dParams, (p, { items }) => {
    const elements = items * p.width * p.channels;
    return [{ shader: 'depthwise-conv2d', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
};
