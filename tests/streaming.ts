// Parts of samples [B, T, ...] along T, and how they join again.
import fc from 'fast-check';
import type { NdArray } from './reference/ndarray.ts';
import type { FloatSample } from './samples.ts';

/** Lengths of a recurrence: value heads are `heads * group`. */
export interface RecurrentShape {
  seed: number;
  batch: number;
  t: number;
  heads: number;
  group: number;
  dk: number;
  dv: number;
}

/** Odd lengths, none and one token among them, with at most `most` products of a state and a token. */
export function recurrentShapes(most: number): fc.Arbitrary<RecurrentShape> {
  return fc
    .record({
      seed: fc.nat(),
      batch: fc.integer({ min: 1, max: 2 }),
      t: fc.constantFrom(0, 1, 2, 5, 63, 64, 65, 130, 200),
      heads: fc.integer({ min: 1, max: 2 }),
      group: fc.constantFrom(1, 1, 2, 3),
      dk: fc.constantFrom(1, 3, 18, 64, 80),
      dv: fc.constantFrom(1, 3, 20, 64, 80),
    })
    .filter(({ batch, t, heads, group, dk, dv }) => batch * t * heads * group * dk * dv < most);
}

/** Rising places to cut `t` tokens at, from shares of it. */
export function cutsAt(shares: readonly number[], t: number): number[] {
  return [0, ...shares.map((share) => Math.round(share * t)).sort((a, b) => a - b), t];
}

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
export function rowsOfAll<S extends object>(samples: S, from: number, to: number): S {
  const parts = Object.entries(samples).map(([name, x]) => [name, rowsOf(x, from, to)]);
  return Object.fromEntries(parts) as unknown as S;
}

/** Row t of each sample, as a step takes it: [B, ...]. */
export function tokenOf<S extends object>(samples: S, t: number): S {
  const rows = Object.entries(rowsOfAll(samples, t, t + 1)).map(([name, x]) => [name, withoutTime(x)]);
  return Object.fromEntries(rows) as unknown as S;
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
