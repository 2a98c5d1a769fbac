/**
 * Long convolutions and S4's kernels by Fourier transforms: passes over memory in which rows of transforms lie side by side.
 *
 * @module
 */
import { FftConvParams, NplrKernelParams } from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf, type Pass } from '../kernel.ts';

const THREADS = 256;
/** Bytes that both buffers of a convolution take together; more channels come one part after another. */
const MOST_BYTES = 2 ** 26;

/**
 * Passes of a transform of m elements of rows from x to y and back, and where the result is. NPLR tells the shaders of the two params
 * classes apart.
 */
function transform(
  NPLR: boolean,
  m: number,
  rows: number,
  skipped: number,
  x: number,
  y: number,
): { passes: Pass[]; at: number } {
  const passes: Pass[] = [];
  let [at, free] = [x, y];
  for (let stride = 1; stride < m; ) {
    const radix = m / stride >= 4 ? 4 : 2;
    passes.push({
      shader: 'fft-pass',
      constants: { RADIX: radix, NPLR },
      groups: groupsOf((m / radix) * (rows - skipped), THREADS),
      extra: { x: at, y: free, rows, skipped, stride },
    });
    [at, free] = [free, at];
    stride *= radix;
  }
  return { passes, at };
}

export const fft = {
  fftConv: gpuKernel(FftConvParams, (p, { scratch }) => {
    const { m, batch } = p;
    const rowBytes = 8 * m * (1 + batch);
    const count = Math.min(p.channels, Math.max(1, Math.floor(MOST_BYTES / (2 * rowBytes))));
    const x = scratch(rowBytes * count);
    const y = scratch(rowBytes * count);
    const passes: Pass[] = [];
    for (let first = 0; first < p.channels; first += count) {
      const channels = Math.min(count, p.channels - first);
      const inputs = batch * channels;
      const rows = inputs + channels;
      const forth = transform(false, m, rows, 0, x, y);
      const back = transform(false, m, rows, channels, forth.at, forth.at === x ? y : x);
      passes.push(
        { shader: 'fft-load', groups: groupsOf(m * rows, THREADS), extra: { z: x, first, count: channels } },
        ...forth.passes,
        {
          shader: 'fft-multiply',
          groups: groupsOf((Math.floor(m / 2) + 1) * inputs, THREADS),
          extra: { z: forth.at, count: channels },
        },
        ...back.passes,
        {
          shader: 'fft-store',
          groups: groupsOf(p.length * inputs, THREADS),
          extra: { z: back.at, first, count: channels },
        },
      );
    }
    return passes;
  }),
  nplrKernel: gpuKernel(NplrKernelParams, (p, { scratch }) => {
    const frequencies = Math.floor(p.length / 2) + 1;
    const spectrum = scratch(8 * frequencies * p.channels);
    const [x, y] = [scratch(8 * p.m * p.channels), scratch(8 * p.m * p.channels)];
    const back = transform(true, p.m, p.channels, 0, x, y);
    const joins = p.m > 0 ? groupsOf((p.m / 2 + 1) * p.channels, THREADS) : 0;
    return [
      {
        shader: 'nplr-spectrum',
        groups: groupsOf(frequencies * p.channels, 64),
        extra: { z: spectrum, frequencies },
      },
      { shader: 'nplr-join', groups: joins, extra: { spectrum, z: x } },
      ...back.passes,
      {
        shader: 'nplr-store',
        groups: groupsOf(p.channels * p.length, THREADS),
        extra: { z: p.m > 0 ? back.at : spectrum },
      },
    ];
  }),
};
