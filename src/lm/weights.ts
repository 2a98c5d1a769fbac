/**
 * Weights of a model's file: matrices of 8-bit codes with a scale a row, the rest in f32.
 *
 * @module
 */
import { ModelError } from '../errors.ts';
import { type MatmulOptions, matmulSync, type PackedMatrix, packMatrixSync } from '../ops/matmul.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { readSafetensors, type SafetensorsTensor } from '../safetensors.ts';
import type { Tensor } from '../tensor.ts';

/** A product with a weight, and what is done to it. */
export type Linear = (x: Tensor, activation?: NonNullable<MatmulOptions['activation']>) => Tensor;

/** Codes [rows, width] times a scale a row. */
function dequantized(codes: Int8Array, scales: Float32Array): Float32Array {
  const width = codes.length / scales.length;
  const values = new Float32Array(codes.length);
  for (let row = 0; row < scales.length; ++row) {
    const scale = scales[row]!;
    for (let i = row * width; i < (row + 1) * width; ++i) values[i] = codes[i]! * scale;
  }
  return values;
}

/** The weights of a file, copied into a runtime's memory as they are asked for. */
export class ModelWeights {
  readonly rt: Runtime;
  readonly metadata: ReadonlyMap<string, string>;
  readonly #file: string;
  readonly #prefix: string;
  readonly #tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** What ends with the weights, whatever prefix it was asked for under. */
  readonly #copies: Disposable[];

  private constructor(
    rt: Runtime,
    metadata: ReadonlyMap<string, string>,
    file: string,
    prefix: string,
    tensors: ReadonlyMap<string, SafetensorsTensor>,
    copies: Disposable[],
  ) {
    this.rt = rt;
    this.metadata = metadata;
    this.#file = file;
    this.#prefix = prefix;
    this.#tensors = tensors;
    this.#copies = copies;
  }

  /**
   * Reads a safetensors file and makes something of it, which takes the weights over.
   *
   * @param file what errors call it.
   * @throws SafetensorsError if it is not one; whatever `make` throws, after which no copy stays.
   */
  static read<Network>(
    rt: Runtime,
    bytes: Uint8Array,
    make: (weights: ModelWeights) => Network,
    file = 'the file',
  ): Network {
    const { tensors, metadata } = readSafetensors(bytes);
    const weights = new ModelWeights(rt, metadata, file, '', tensors, []);
    try {
      return make(weights);
    } catch (error) {
      weights.dispose();
      throw error;
    }
  }

  /** The weights whose names begin so, to be asked for without it. */
  under(prefix: string): ModelWeights {
    return new ModelWeights(this.rt, this.metadata, this.#file, this.#prefix + prefix, this.#tensors, this.#copies);
  }

  /** The numbers outside the runtime. @throws ModelError if there is no such weight, or not of this shape. */
  values(name: string, shape: readonly number[]): Float32Array {
    const { dtype, shape: stored, data } = this.#find(name);
    if ((dtype !== 'F32' && dtype !== 'I8') || stored.join() !== shape.join()) {
      throw new ModelError(
        `${this.#file}: ${this.#prefix}${name} is ${dtype} of shape [${stored}], expected F32 or I8 of shape [${shape}]`,
      );
    }
    if (dtype === 'F32') return data as Float32Array;
    return dequantized(data as Int8Array, this.values(`${name}.scale`, [shape[0]!]));
  }

  /** The weight as a tensor, each number passed through `map`. @throws as `values`. */
  tensor(name: string, shape: readonly number[], map: (x: number) => number = (x) => x): Tensor {
    return this.constant(this.values(name, shape).map(map), shape);
  }

  /** Rows from `begin` to `end` of a matrix [out, in], packed for `matmul`. @throws as `values`. */
  matrix(name: string, shape: readonly [out: number, input: number], begin = 0, end = shape[0]): PackedMatrix {
    return this.#packed(this.values(name, shape), shape, (whole) =>
      this.own(packMatrixSync(whole.slice(0, begin, end), { transposeB: true })),
    );
  }

  /** x -> activation(x matrix^T), of a matrix [out, in]. @throws as `values`. */
  linear(name: string, [out, input]: readonly [out: number, input: number]): Linear {
    return this.linears(name, [out], input)[0];
  }

  /** As `linear`, for each part of the rows of a matrix [sum of sizes, in]. @throws as `values`. */
  linears<const Sizes extends readonly number[]>(
    name: string,
    sizes: Sizes,
    input: number,
  ): { readonly [I in keyof Sizes]: Linear } {
    const rows = sizes.reduce((sum, size) => sum + size, 0);
    return this.#packed(this.values(name, [rows, input]), [rows, input], (whole) => {
      let end = 0;
      const linears = sizes.map((size): Linear => {
        end += size;
        return this.#product(packMatrixSync(whole.slice(0, end - size, end), { transposeB: true }));
      });
      return linears as { readonly [I in keyof Sizes]: Linear };
    });
  }

  has(name: string): boolean {
    return this.#tensors.has(this.#prefix + name);
  }

  /** @throws ModelError if there is no such weight. */
  shape(name: string): readonly number[] {
    return this.#find(name).shape;
  }

  /** Each row's sum, in all of its n elements. */
  ones(n: number): Linear {
    return this.#packed(new Float32Array(n * n).fill(1), [n, n], (plain) => this.#product(packMatrixSync(plain)));
  }

  /** A tensor that ends with the weights. */
  constant(values: Float32Array, shape: readonly number[]): Tensor {
    return this.own(this.rt.tensor(values, shape));
  }

  /** Takes something over that ends with the weights. */
  own<T extends Disposable>(copy: T): T {
    this.#copies.push(copy);
    return copy;
  }

  /** Gives the memory of all copies back. */
  dispose(): void {
    for (const copy of this.#copies.splice(0)) copy[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Packs a matrix that is not needed any more then; Safari has no `using` yet. */
  #packed<R>(values: Float32Array, shape: readonly number[], pack: (matrix: Tensor) => R): R {
    const matrix = this.rt.tensor(values, shape);
    try {
      return pack(matrix);
    } finally {
      matrix.dispose();
    }
  }

  #product(matrix: PackedMatrix): Linear {
    this.own(matrix);
    return (x, activation = 'none') => matmulSync({ a: x, b: matrix }, { activation }).o;
  }

  #find(name: string): SafetensorsTensor {
    const tensor = this.#tensors.get(this.#prefix + name);
    if (!tensor) throw new ModelError(`${this.#file} has no weight ${this.#prefix}${name}`);
    return tensor;
  }
}
