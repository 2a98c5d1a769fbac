import type { Tensor } from '../../src/index.ts';

/** States of one part of a layer, by name. */
export type States = Readonly<Record<string, Tensor>>;

/** What an earlier layer hands on to later ones, of the same tokens. */
export interface Passed {
  /** RWKV-7: the values [1, T, width] of the first layer. */
  firstValues?: Tensor;
}

/** A part of a layer that remembers: time mixing or channel mixing. */
export interface Part<S extends States = States> {
  /** The states before the first token of a sequence. */
  empty(): S;
  /** What the part adds to its layer's x, of the normalised x [1, T, width]; the states move on by T tokens in place. */
  apply(x: Tensor, states: S, passed: Passed): Tensor;
}

/** What a network remembers of one sequence, as much after a million tokens as after one: states of each layer's parts. */
export class Memory {
  readonly layers: readonly (readonly States[])[];

  constructor(layers: readonly (readonly Part[])[]) {
    this.layers = layers.map((parts) => parts.map((part) => part.empty()));
  }

  /** Bytes of all states. */
  get bytes(): number {
    return this.#tensors().reduce((sum, tensor) => sum + 4 * tensor.size, 0);
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const tensor of this.#tensors()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensors(): Tensor[] {
    return this.layers.flat().flatMap((states) => Object.values(states));
  }
}
