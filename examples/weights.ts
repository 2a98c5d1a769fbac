import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type PackedMatrix, packMatrixSync, type Runtime, type Tensor } from '../src/index.ts';
import { readSafetensors, type SafetensorsTensor } from '../src/safetensors.ts';

/** The float32 weights of a safetensors file, copied into a runtime's memory as they are asked for. */
export class Weights {
  readonly rt: Runtime;
  readonly #file: string;
  readonly #prefix: string;
  readonly #tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** What ends with the weights, whatever prefix it was asked for under. */
  readonly #copies: Disposable[];

  private constructor(
    rt: Runtime,
    file: string,
    prefix: string,
    tensors: ReadonlyMap<string, SafetensorsTensor>,
    copies: Disposable[],
  ) {
    this.rt = rt;
    this.#file = file;
    this.#prefix = prefix;
    this.#tensors = tensors;
    this.#copies = copies;
  }

  /**
   * Reads a safetensors file and makes a network of it, which takes the weights over.
   *
   * @throws SafetensorsError if it is not one; whatever `make` throws, after which no copy stays.
   */
  static async read<Network>(rt: Runtime, path: string, make: (weights: Weights) => Network): Promise<Network> {
    const weights = new Weights(rt, basename(path), '', readSafetensors(await readFile(path)).tensors, []);
    try {
      return make(weights);
    } catch (error) {
      weights.dispose();
      throw error;
    }
  }

  /** The weights whose names begin so, to be asked for without it. */
  under(prefix: string): Weights {
    return new Weights(this.rt, this.#file, this.#prefix + prefix, this.#tensors, this.#copies);
  }

  has(name: string): boolean {
    return this.#tensors.has(this.#prefix + name);
  }

  /** @throws Error if there is no such weight. */
  shape(name: string): readonly number[] {
    return this.#find(name).shape;
  }

  /** The numbers outside the runtime. @throws Error if there is no such weight, or not of this shape in float32. */
  values(name: string, shape: readonly number[]): Float32Array {
    const { dtype, shape: stored, data } = this.#find(name);
    if (dtype !== 'F32' || stored.join() !== shape.join()) {
      throw new Error(
        `${this.#file}: ${this.#prefix}${name} is ${dtype} of shape [${stored}], expected F32 of shape [${shape}]`,
      );
    }
    return data as Float32Array;
  }

  /** The weight as a tensor, each number passed through `map`. @throws as `values`. */
  tensor(name: string, shape: readonly number[], map: (x: number) => number = (x) => x): Tensor {
    return this.own(this.rt.tensor(this.values(name, shape).map(map), shape));
  }

  /** Rows from `begin` to `end` of a matrix [out, in], packed for `matmul`. @throws as `values`. */
  matrix(name: string, shape: readonly [out: number, input: number], begin = 0, end = shape[0]): PackedMatrix {
    using whole = this.rt.tensor(this.values(name, shape), shape);
    return this.own(packMatrixSync(whole.slice(0, begin, end), { transposeB: true }));
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

  #find(name: string): SafetensorsTensor {
    const tensor = this.#tensors.get(this.#prefix + name);
    if (!tensor) throw new Error(`${this.#file} has no weight ${this.#prefix}${name}`);
    return tensor;
  }
}
