/**
 * Sums along time that keep more digits than a float has, sixteen threads for each head or channel; sums of columns.
 *
 * @module
 */
import { CumsumParams, PseudoInverseParams } from '../../generated/params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

const CHANNELS = 16;

export const runningSums = {
  columnSums: gpuKernel(PseudoInverseParams, (_, { items }) => [{ shader: 'column-sums', groups: items }]),
  cumsum: gpuKernel(CumsumParams, (p, { items }) => [
    { shader: 'cumsum', groups: (items / p.heads) * groupsOf(p.heads, CHANNELS) },
  ]),
};
