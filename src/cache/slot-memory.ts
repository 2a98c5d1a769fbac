/**
 * Memory of slots, which forks of a cache share until one of them changes it.
 *
 * @module
 */
import { makeSlots, type SlotShape, type Slots } from '../engines/slot-attention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type DType, type Tensor } from '../tensor.ts';
import type { ByteRun, ReadBytes } from './host-memory.ts';
import { ownTensor } from './own-tensor.ts';

/** What a slot memory is made of: one sequence's. */
export interface SlotMemoryShape extends Omit<SlotShape, 'batch'> {
  readonly dtype: DType;
  readonly withSums: boolean;
}

/** Slots of one sequence. */
export class SlotMemory {
  readonly shape: SlotMemoryShape;
  readonly slots: Slots;
  /** [1, heads or units, slots, ...], in the order in which they are made. */
  readonly tensors: readonly Tensor[];
  readonly #rt: Runtime;
  #holders = 1;

  constructor(rt: Runtime, shape: SlotMemoryShape) {
    this.#rt = rt;
    this.shape = shape;
    const tensors: Tensor[] = [];
    const make = (axes: readonly number[], dtype: DType) => {
      const tensor = ownTensor(rt, axes, dtype);
      tensors.push(tensor);
      return tensor;
    };
    try {
      this.slots = makeSlots(make, { ...shape, batch: 1 }, shape.dtype, shape.withSums);
    } catch (error) {
      for (const tensor of tensors) tensor.dispose();
      throw error;
    }
    this.tensors = tensors;
  }

  /** Bytes that are allocated. */
  get bytes(): number {
    return this.tensors.reduce((sum, x) => sum + x.size * bytesOf(x.dtype), 0);
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
    if (--this.#holders === 0) for (const tensor of this.tensors) tensor.dispose();
  }

  /** Another one with `slots` slots, of which the first `held` hold the same. */
  copy(held: number, slots = this.shape.slots): SlotMemory {
    const other = new SlotMemory(this.#rt, { ...this.shape, slots });
    const to = [...other.#runs(held)];
    for (const [i, { at, length }] of [...this.#runs(held)].entries()) this.#rt.move(to[i]!.at, at, length);
    return other;
  }

  /** Bytes that `save` gives and `load` takes for `held` slots. */
  savedBytes(held: number): number {
    let sum = 0;
    for (const { length } of this.#runs(held)) sum += length;
    return sum;
  }

  /** Writes what the first `held` slots hold. */
  save(held: number, to: Uint8Array, read: ReadBytes): void {
    let from = 0;
    for (const run of this.#runs(held)) {
      to.set(read(run), from);
      from += run.length;
    }
  }

  /** Takes what `save` wrote. */
  load(held: number, from: Uint8Array): void {
    let begin = 0;
    for (const { at, length } of this.#runs(held)) {
      this.#rt.write(at, from.subarray(begin, begin + length));
      begin += length;
    }
  }

  /** Where the first `held` slots of each head lie. */
  *#runs(held: number): Generator<ByteRun> {
    for (const tensor of this.tensors) {
      const size = bytesOf(tensor.dtype);
      const [, heads, , width = 1] = tensor.shape as [number, number, number, number | undefined];
      for (let h = 0; h < heads; ++h) {
        yield { at: tensor.address + h * tensor.strides[1]! * size, length: held * width * size };
      }
    }
  }
}
