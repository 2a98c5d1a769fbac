/**
 * Programs of single engines of selections, for runtimes of both kinds.
 *
 * @module
 */
import type { Runtime, Tensor } from '../../src/index.ts';
import { type Builder, run } from '../../src/runtime/program.ts';
import { randomFrom } from '../samples.ts';

/** Tensors by name. */
export type Made = Readonly<Record<string, Tensor | undefined>>;

/** Runs what `build` lays out on tensors, which returns outputs and inputs. */
export function laidOut<I extends Record<string, Tensor | undefined>>(
  build: (b: Builder, inputs: I) => Made,
): (inputs: I) => Promise<Made> {
  return (inputs) => run('select', inputs, (b) => build(b, inputs));
}

/** Runs what `build` lays out on tensors, and keeps what it returns. */
export function laid<I extends Record<string, Tensor | undefined>>(
  build: (b: Builder, inputs: I) => Made,
): (inputs: I) => Promise<Made> {
  return laidOut((b, inputs: I) => {
    const made = build(b, inputs);
    for (const tensor of Object.values(made)) {
      if (tensor && !Object.values(inputs).includes(tensor)) b.keep(tensor);
    }
    return made;
  });
}

/** Tensors of random numbers, the same ones from the same seed. */
export function maker(seed: number) {
  const random = randomFrom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const values = (shape: readonly number[], value: () => number) =>
    Float32Array.from({ length: shape.reduce((n, x) => n * x, 1) }, value);
  return {
    random,
    floats: (rt: Runtime, shape: readonly number[], dtype: 'f32' | 'f16' | 'bf16' = 'f32') =>
      rt.tensor(values(shape, normal), shape, dtype),
    /** Few different numbers, so that many are equal. */
    steps: (rt: Runtime, shape: readonly number[], count: number) =>
      rt.tensor(
        values(shape, () => Math.floor(random() * count) - count / 2),
        shape,
      ),
    /** Above 0, of very different sizes. */
    weights: (rt: Runtime, shape: readonly number[]) =>
      rt.tensor(
        values(shape, () => Math.exp(4 * normal())),
        shape,
      ),
    ints: (rt: Runtime, shape: readonly number[], low: number, high: number) =>
      rt.tensor(Int32Array.from(values(shape, () => low + Math.floor(random() * (high - low)))), shape, 'i32'),
  };
}
