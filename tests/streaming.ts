// Parts of samples [B, T, ...] along T, and how they join again.
import type { NdArray } from './reference/ndarray.ts';
import type { FloatSample } from './samples.ts';

/** Samples by name. */
type Samples<Name extends string> = Record<Name, FloatSample>;

/** Rows [from, to) of x [B, T, ...]. */
export function rowsOf({ shape, data }: NdArray, from: number, to: number): FloatSample {
  const [batches = 0, length = 0, ...rest] = shape;
  const row = rest.reduce((product, n) => product * n, 1);
  const values = Float32Array.from(data);
  const part = new Float32Array(batches * (to - from) * row);
  for (let b = 0; b < batches; b++) {
    part.set(values.subarray((b * length + from) * row, (b * length + to) * row), b * (to - from) * row);
  }
  return { shape: [batches, to - from, ...rest], data: part };
}

/** Rows [from, to) of each sample. */
export function rowsOfAll<Name extends string>(samples: Samples<Name>, from: number, to: number): Samples<Name> {
  const parts = (Object.entries(samples) as [Name, FloatSample][]).map(([name, x]) => [name, rowsOf(x, from, to)]);
  return Object.fromEntries(parts) as Samples<Name>;
}

/** Row t of each sample, as a step takes it: [B, ...]. */
export function tokenOf<Name extends string>(samples: Samples<Name>, t: number): Samples<Name> {
  const rows = Object.entries(rowsOfAll(samples, t, t + 1)) as [Name, FloatSample][];
  return Object.fromEntries(rows.map(([name, x]) => [name, withoutTime(x)])) as Samples<Name>;
}

/** A sample [B, 1, ...] as [B, ...]. */
export function withoutTime({ shape, data }: FloatSample): FloatSample {
  return { shape: [shape[0]!, ...shape.slice(2)], data };
}

/** Samples [B, T, ...] of one batch, one behind the other along T. */
export function joined(parts: readonly NdArray[]): FloatSample {
  const [batches = 0, , ...rest] = parts[0]!.shape;
  const row = rest.reduce((product, n) => product * n, 1);
  const length = parts.reduce((sum, { shape }) => sum + shape[1]!, 0);
  const data = new Float32Array(batches * length * row);
  let at = 0;
  for (const { shape, data: from } of parts) {
    const values = Float32Array.from(from);
    const span = shape[1]! * row;
    for (let b = 0; b < batches; b++) {
      data.set(values.subarray(b * span, (b + 1) * span), b * length * row + at);
    }
    at += span;
  }
  return { shape: [batches, length, ...rest], data };
}

/** A writable copy of an output, to be a tensor again. */
export function again({ shape, data }: NdArray): FloatSample {
  return { shape, data: Float32Array.from(data) };
}
