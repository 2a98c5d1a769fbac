import type { NdArray } from './reference/ndarray.ts';
import { type FloatSample, floats } from './samples.ts';

/** Tokens [begin, end) of a sample [B, T, ...]. */
export function tokens({ shape, data }: NdArray, begin: number, end: number): FloatSample {
  const [batches = 0, length = 0, ...rest] = shape;
  const row = rest.reduce((product, n) => product * n, 1);
  const span = (end - begin) * row;
  return floats(
    [batches, end - begin, ...rest],
    (n) => data[(Math.floor(n / span) * length + begin) * row + (n % span)]!,
  );
}

/** A sample [B, 1, ...] as [B, ...]. */
export function withoutTime({ shape, data }: FloatSample): FloatSample {
  return { shape: [shape[0]!, ...shape.slice(2)], data };
}

/** Samples [B, T, ...] of one batch, one behind the other along T. */
export function joined(parts: readonly NdArray[]): FloatSample {
  const [batches = 0, , ...rest] = parts[0]!.shape;
  const length = parts.reduce((sum, { shape }) => sum + shape[1]!, 0);
  const values: number[] = [];
  for (let b = 0; b < batches; b++)
    for (const { shape, data } of parts) {
      const span = data.length / shape[0]!;
      for (let n = 0; n < span; n++) values.push(data[b * span + n]!);
    }
  return { shape: [batches, length, ...rest], data: Float32Array.from(values) };
}

/** A writable copy of an output, to be a tensor again. */
export function again({ shape, data }: NdArray): FloatSample {
  return { shape, data: Float32Array.from(data) };
}
