/**
 * What mixes the tokens of a layer, and what it remembers of a sequence.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionLayer } from './attention-layer.ts';

/** What a mixer remembers of one sequence. */
export interface MixerState extends Disposable {
  /** Bytes in use. */
  readonly bytes: number;
}

/** What a state is made for. */
export interface Opening {
  /** Most tokens of the sequence. */
  readonly capacity: number;
  /** What attends in place of the mixer's own attention; only mixers that attend have a place for it. */
  readonly attention?: AttentionLayer | undefined;
}

/** A token mixer with its weights. */
export interface Mixer {
  /** Whether it attends, so that another attention may take its place. */
  readonly attends?: true;
  /** What is remembered before the first token. */
  open(opening: Opening): MixerState;
  /** What is added to the layer's x, of the normalised x [1, T, dim] of the tokens from `start` on; the state moves on by T tokens. */
  apply(x: Tensor, state: MixerState, start: number): Tensor;
}

/** A state of as many bytes after a million tokens as after one: tensors by name. */
export class Tensors<Name extends string> implements MixerState {
  readonly named: Readonly<Record<Name, Tensor>>;

  /** Zeros of these shapes. */
  constructor(rt: Runtime, shapes: Readonly<Record<Name, readonly number[]>>) {
    const entries = Object.entries(shapes) as [Name, readonly number[]][];
    this.named = Object.fromEntries(entries.map(([name, shape]) => [name, rt.zeros(shape)])) as Record<Name, Tensor>;
  }

  get bytes(): number {
    return Object.values<Tensor>(this.named).reduce((sum, tensor) => sum + 4 * tensor.size, 0);
  }

  [Symbol.dispose](): void {
    for (const tensor of Object.values<Tensor>(this.named)) tensor.dispose();
  }
}
