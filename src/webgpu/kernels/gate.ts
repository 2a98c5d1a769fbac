/**
 * The gate of ASAM.
 *
 * @module
 */
import { AdaptiveGateParams, AdaptivePoolParams } from '../../generated/gpu-params.ts';
import { gpuKernel } from '../kernel.ts';

export const gate = {
  adaptivePool: gpuKernel(AdaptivePoolParams, (_, { items }) => [{ shader: 'adaptive-pool', groups: items }]),
  adaptiveGate: gpuKernel(AdaptiveGateParams, (p, { items, scratch }) => [
    {
      shader: 'adaptive-gate',
      groups: items,
      extra: { scratch: scratch(items * (p.features + p.hidden + p.inner + p.heads) * 4) },
    },
  ]),
};
