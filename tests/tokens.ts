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

function count(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Tokens [from, to) of x [B, T, ...]. */
export function slice({ shape, data }: FloatSample, from: number, to: number): FloatSample {
  const [batch = 0, t = 0, ...rest] = shape;
  const step = count(rest);
  const rows = Array.from({ length: batch }, (_, b) => [...data.subarray((b * t + from) * step, (b * t + to) * step)]);
  return { shape: [batch, to - from, ...rest], data: Float32Array.from(rows.flat()) };
}

/** Tokens [from, to) of each input. */
export function sliced(
  inputs: Readonly<Record<string, FloatSample>>,
  from: number,
  to: number,
): Record<string, FloatSample> {
  return Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, slice(x, from, to)]));
}

/** Parts [B, t_i, ...] as one [B, T, ...]. */
export function joined(parts: readonly NdArray[], shape: readonly number[]): NdArray {
  const [batch = 0, , ...rest] = shape;
  const step = count(rest);
  const data = Array.from({ length: batch }, (_, b) =>
    parts.map(({ shape: [, t = 0], data: from }) => Array.from(from).slice(b * t * step, (b + 1) * t * step)),
  );
  return { shape, data: data.flat(2) };
}
