import type { NdArray } from './reference/ndarray.ts';

/** Values in a typed array that a tensor can be made of. */
export interface Sample extends NdArray {
  data: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
}

/** A float32 sample. */
export interface FloatSample extends Sample {
  data: Float32Array<ArrayBuffer>;
}

/** Uniform numbers in [0, 1) from a seed (mulberry32), the same on every host. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** A float32 sample, each element from `next`. */
export function floats(shape: readonly number[], next: (n: number) => number): FloatSample {
  return { shape, data: Float32Array.from({ length: size(shape) }, (_, n) => next(n)) };
}

/** An int32 sample of given values. */
export function ints(values: readonly number[], shape: readonly number[] = [values.length]): Sample {
  return { shape, data: Int32Array.from(values) };
}

/** A normal sample of standard deviation `std`. */
export function normal(random: () => number, shape: readonly number[], std = 1): FloatSample {
  return floats(shape, () => std * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}

/** A mask of ones with this density, else zeros. */
export function bits(random: () => number, shape: readonly number[], density: number): Sample {
  return { shape, data: Uint8Array.from({ length: size(shape) }, () => (random() < density ? 1 : 0)) };
}

/** The nearest float16, ties to even. */
export function roundToHalf(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10);
  const steps = x / unit;
  const down = Math.floor(steps);
  const odd = Math.abs(down) % 2 === 1;
  const up = steps - down > 0.5 || (steps - down === 0.5 && odd);
  const rounded = (up ? down + 1 : down) * unit;
  return Math.abs(rounded) > 65504 ? Math.sign(x) * Number.POSITIVE_INFINITY : rounded;
}

/** The nearest bfloat16, ties to even. */
export function roundToBfloat(x: number): number {
  const bitsOf = new Uint32Array(Float32Array.of(x).buffer);
  const word = bitsOf[0]!;
  bitsOf[0] = word + 0x7fff + ((word >>> 16) & 1);
  bitsOf[0] &= 0xffff0000;
  return new Float32Array(bitsOf.buffer)[0]!;
}

/** The sample with every element passed through `f`. */
export function mapped({ shape, data }: FloatSample, f: (x: number) => number): FloatSample {
  return { shape, data: data.map(f) };
}

/** An int8 sample: codes, their scale per row, and what the two stand for. */
export interface Quantised {
  codes: Int8Array<ArrayBuffer>;
  scale: FloatSample;
  value: FloatSample;
}

/** x [..., D] with each row of D elements in 8 bits, the largest at 127 times the row's scale. */
export function quantised(x: FloatSample): Quantised {
  const d = x.shape.at(-1)!;
  const row = (n: number) => x.data.subarray(n * d, (n + 1) * d);
  const scale = floats(
    x.shape.slice(0, -1),
    (n) => row(n).reduce((most, y) => Math.max(most, Math.abs(y)), 0) / 127 || 1,
  );
  const codes = Int8Array.from(x.data, (y, n) => Math.round(y / scale.data[Math.floor(n / d)]!));
  return { codes, scale, value: floats(x.shape, (n) => codes[n]! * scale.data[Math.floor(n / d)]!) };
}
