/**
 * Memory of keys and values token by token, which forks of a cache share until one of them changes it.
 *
 * @module
 */
import { type HeadGroup, headGroups } from '../engines/head-clusters.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type DType, type Tensor } from '../tensor.ts';
import type { ByteRun } from './host-memory.ts';
import { ownTensor } from './own-tensor.ts';

/** Sizes of a head memory. */
export interface HeadMemoryShape {
  readonly slots: number;
  readonly heads: number;
  readonly headDim: number;
  readonly dtype: DType;
  /** First head of each head's cluster: only their keys are kept, and values cluster by cluster. Left out: every head's own. */
  readonly labels?: readonly number[] | undefined;
}

/** Keys and values of one sequence. */
export class HeadMemory {
  readonly shape: HeadMemoryShape;
  readonly groups: readonly HeadGroup[];
  /** Heads whose keys are kept. */
  readonly keyHeads: readonly number[];
  /** [1, slots, keyHeads, D] */
  readonly k: Tensor;
  /** [1, slots, H, D], the heads of a group side by side. */
  readonly v: Tensor;
  /** i32 [keyHeads], [H] and [H]: heads whose keys, and whose values, are kept, and the place of each head's values. */
  readonly firsts: Tensor;
  readonly order: Tensor;
  readonly places: Tensor;
  readonly #rt: Runtime;
  readonly #tensors: Tensor[] = [];
  #holders = 1;

  constructor(rt: Runtime, shape: HeadMemoryShape) {
    this.#rt = rt;
    this.shape = shape;
    const { slots, heads, headDim, dtype, labels = Array.from({ length: heads }, (_, h) => h) } = shape;
    this.groups = headGroups(labels, headDim);
    this.keyHeads = [...new Set(this.groups.map(({ first }) => first))];
    const order = this.groups.flatMap(({ members }) => members);
    try {
      this.k = this.#own([1, slots, this.keyHeads.length, headDim], dtype);
      this.v = this.#own([1, slots, heads, headDim], dtype);
      this.firsts = this.#table(this.keyHeads);
      this.order = this.#table(order);
      this.places = this.#table(Array.from({ length: heads }, (_, h) => order.indexOf(h)));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Bytes that are allocated. */
  get bytes(): number {
    return this.#tensors.reduce((sum, x) => sum + x.size * bytesOf(x.dtype), 0);
  }

  /** Whether more than one cache has it. */
  get shared(): boolean {
    return this.#holders > 1;
  }

  /** One more cache has it. */
  share(): this {
    ++this.#holders;
    return this;
  }

  /** One cache less has it: the last one frees it. */
  release(): void {
    if (--this.#holders === 0) for (const tensor of this.#tensors) tensor.dispose();
  }

  /** Another one with `slots` slots, of which the first `held` hold the same. */
  copy(held: number, slots: number): HeadMemory {
    const other = new HeadMemory(this.#rt, { ...this.shape, slots });
    const to = other.rows(held);
    for (const [i, { at, length }] of this.rows(held).entries()) this.#rt.move(to[i]!.at, at, length);
    return other;
  }

  /** Where the keys, and the values, of the first `held` slots lie. */
  rows(held: number): ByteRun[] {
    return [this.k, this.v].map((x) => ({ at: x.address, length: held * x.strides[1]! * bytesOf(x.dtype) }));
  }

  #own(shape: readonly number[], dtype: DType): Tensor {
    const tensor = ownTensor(this.#rt, shape, dtype);
    this.#tensors.push(tensor);
    return tensor;
  }

  #table(numbers: readonly number[]): Tensor {
    const tensor = this.#own([numbers.length], 'i32');
    tensor.write(Int32Array.from(numbers));
    return tensor;
  }
}
