/**
 * Sums along time that keep more digits than a float has: sixteen threads for each head or channel.
 *
 * @module
 */
import { CumsumParams } from '../../generated/params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

const CHANNELS = 16;

export const runningSums = {
  cumsum: gpuKernel(CumsumParams, (p, { items }) => [
    { shader: 'cumsum', groups: (items / p.heads) * groupsOf(p.heads, CHANNELS) },
  ]),
};
