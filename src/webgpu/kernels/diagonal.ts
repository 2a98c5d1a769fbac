/**
 * Complex diagonal recurrences: coefficients, the recurrence, sums of powers, last states.
 *
 * @module
 */
import {
  DiagonalKernelParams,
  DiagonalScanParams,
  DiagonalStateParams,
  DiagonalTableParams,
} from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf } from '../kernel.ts';

export const diagonal = {
  diagonalTable: gpuKernel(DiagonalTableParams, (p, { items }) => [
    {
      shader: 'diagonal-table',
      groups: groupsOf(items * groupsOf(p.states, 4) * 4, 64),
      extra: { channels: items },
    },
  ]),
  diagonalScan: gpuKernel(DiagonalScanParams, (p) => [
    { shader: 'diagonal-scan', groups: p.sequenceCount * groupsOf(p.channels, 8) },
  ]),
  diagonalKernel: gpuKernel(DiagonalKernelParams, (p, { items }) => [
    {
      shader: 'diagonal-kernel',
      groups: items * groupsOf(groupsOf(p.length, 64) * 64, 256),
    },
  ]),
  diagonalState: gpuKernel(DiagonalStateParams, (p) => [{ shader: 'diagonal-state', groups: p.batch * p.channels }]),
};
