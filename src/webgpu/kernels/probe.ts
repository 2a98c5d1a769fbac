/**
 * What a device can do.
 *
 * @module
 */
import { ProbeParams } from '../../generated/params.ts';
import { gpuKernel } from '../kernel.ts';

/** Operations of a work item of probeFma for each step: 256 threads with four vectors each. */
export const PROBE_FLOPS = 256 * 4 * 4 * 2;

export const probe = {
  probeFma: gpuKernel(ProbeParams, (_, { items }) => [{ shader: 'probe-fma', groups: items }]),
};
