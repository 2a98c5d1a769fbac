/**
 * Rows and elements, one thread for each element.
 *
 * @module
 */
import { BinaryParams, CopyParams } from '../../generated/params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

const THREADS = 256;

export const elementwise = {
  copy: gpuKernel(CopyParams, (p, { items }) => [
    { shader: 'copy', groups: groupsOf(items * p.heads * p.d, THREADS), extra: { items } },
  ]),
  binary: gpuKernel(BinaryParams, (p) => [{ shader: 'binary', groups: groupsOf(p.n, THREADS) }]),
};
