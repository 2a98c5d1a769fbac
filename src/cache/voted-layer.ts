/**
 * The cache of a layer that keeps of a prompt what its last queries vote for, and all that comes after it.
 *
 * @module
 */
import { pyramidShares } from '../engines/pyramid-budgets.ts';
import { gatherSlots, putTokens } from '../engines/slot-attention.ts';
import { type VotePooling, votedKeys } from '../engines/window-votes.ts';
import { CacheDataError, CacheFullError, OptionError } from '../errors.ts';
import { attend } from '../ops/attention.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { DType, Tensor } from '../tensor.ts';
import { liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { expectLength, expectQuery, expectSize, expectTokens } from './layer-operands.ts';
import { packLayer, unpackLayer } from './saved-layer.ts';
import { SlotMemory } from './slot-memory.ts';

/** Slots that there are at least, and free ones behind what stays of a prompt. */
const SPARE = 64;

/** How keys are chosen; checked by slotLayer. */
export interface VotedOptions {
  /** Tokens that stay, the window's among them; of a pyramid the average of the layers. */
  readonly capacity: number;
  readonly window: number;
  readonly kernelSize: number;
  readonly pooling: VotePooling;
  /** Of a pyramid, whose last layer keeps 1 / beta of the average; 0: all layers keep the same. */
  readonly beta: number;
  readonly dtype: DType;
}

/** As `slotLayer` describes it. */
export class VotedLayer implements LayerCache {
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #options: VotedOptions;
  #memory: SlotMemory;
  #length = 0;
  #held = 0;
  /** Tokens that had come in when some were let go last. */
  #pruned = 0;
  /** Tokens that a program which has not run yet puts in. */
  #open: { readonly b: Builder; tokens: number } | undefined;
  /** What a program which has not run yet leaves of a prompt. */
  #next: SlotMemory | undefined;

  constructor(rt: Runtime, size: LayerSize, options: VotedOptions, memory?: SlotMemory) {
    expectSize('slotLayer', size);
    this.#rt = rt;
    this.#size = size;
    this.#options = options;
    this.#memory = memory ?? this.#makeMemory(SPARE);
  }

  /** The layer whose `save` gave `bytes`. @throws CacheDataError if they are not those of such a layer. */
  static restore(rt: Runtime, size: LayerSize, options: VotedOptions, bytes: Uint8Array): VotedLayer {
    const layer = new VotedLayer(rt, size, options);
    try {
      layer.#load(bytes);
    } catch (error) {
      layer.dispose();
      throw error;
    }
    return layer;
  }

  get length(): number {
    return this.#length;
  }

  get held(): number {
    return this.#held;
  }

  get shortest(): number {
    return this.#pruned;
  }

  get bytes(): number {
    return this.#memory.bytes;
  }

  /** i32 [Hkv * held]: positions of the tokens held, in ascending order for each head. */
  get positions(): Int32Array {
    return this.#memory.slots.positions.slice(2, 0, this.#held).dataSync() as Int32Array;
  }

  reserve(count: number): void {
    const { capacity, layer } = this.#size;
    const needed = this.#held + count;
    if (needed > capacity) {
      throw new CacheFullError(
        `cache layer ${layer}: ${count} more tokens make ${needed}, its capacity is ${capacity} and only the end of a prompt lets ` +
          'tokens go. Give it more capacity.',
      );
    }
    this.#makeRoom(needed);
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    const count = expectTokens('append', this.#size, k, v);
    if (this.#open?.b !== b) this.#open = { b, tokens: 0 };
    const { tokens } = this.#open;
    this.#makeRoom(this.#held + tokens + count);
    putTokens(b, this.#memory.slots, { k, v, held: this.#held + tokens, start: this.#length + tokens });
    this.#open.tokens += count;
    return {
      commit: () => {
        this.#open = undefined;
        this.#held += count;
        this.#length += count;
      },
    };
  }

  attend(b: Builder, query: LayerQuery): { readonly o: Tensor; commit(): void } {
    const coming = this.#open?.b === b ? this.#open.tokens : 0;
    const held = this.#held + coming;
    const T = expectQuery('attend', this.#size, query, held, 'tokens in the cache');
    const { q, scale, softcap } = query;
    const o = b.output([1, T, q.shape[2]!, this.#size.headDim]);
    const { slots } = this.#memory;
    const [k, v] = [slots.k.slice(1, 0, held), slots.v.slice(1, 0, held)];
    const sequences = [{ batch: 0, qStart: 0, qLength: T, kStart: 0, kLength: held, offset: held - T }];
    attend(b, { q, k, v, o, sequences, scale, softcap, window: [-1, 0] });
    this.#next?.release();
    this.#next = undefined;
    const length = this.#length + coming;
    const budget = this.#budget(length);
    if (T > 1 && T >= this.#options.window && budget < held) this.#prune(b, q, k, scale, budget);
    const next = this.#next as SlotMemory | undefined;
    return {
      o,
      commit: () => {
        if (!next || this.#next !== next) return;
        this.#memory.release();
        this.#memory = next;
        this.#next = undefined;
        this.#held = budget;
        this.#pruned = length;
      },
    };
  }

  fork(): VotedLayer {
    const other = new VotedLayer(this.#rt, this.#size, this.#options, this.#memory.share());
    other.#length = this.#length;
    other.#held = this.#held;
    other.#pruned = this.#pruned;
    return other;
  }

  truncate(length: number): void {
    expectLength('truncate', length, this.#length);
    if (length < this.#pruned) {
      throw new OptionError(
        `truncate: length is ${length}, but tokens before ${this.#pruned} were let go: expected ${this.#pruned} to ${this.#length}. ` +
          'Fork the cache before the end of a prompt that may be taken back.',
      );
    }
    this.#held -= this.#length - length;
    this.#length = length;
    this.#open = undefined;
  }

  save(read: ReadBytes = liveBytes(this.#rt)): Uint8Array {
    const state = { length: this.#length, held: this.#held, pruned: this.#pruned };
    return packLayer(this.#kind(), state, this.#memory.savedBytes(this.#held), (to) =>
      this.#memory.save(this.#held, to, read),
    );
  }

  dispose(): void {
    this.#memory.release();
    this.#next?.release();
    this.#next = undefined;
  }

  /** Tokens that stay of a prompt. */
  #budget(length: number): number {
    const { capacity, window, beta } = this.#options;
    const { layer, layers } = this.#size;
    return beta === 0 ? capacity : pyramidShares({ layers, capacity, window, beta, length })[layer]!;
  }

  /** Lays out that the keys with the most votes, and their values, go to slots of their own. */
  #prune(b: Builder, q: Tensor, k: Tensor, scale: number, budget: number): void {
    const { indices } = votedKeys(b, { ...this.#options, q, k, scale, capacity: budget });
    const next = this.#makeMemory(budget + SPARE);
    this.#next = next;
    for (const [i, tensor] of this.#memory.tensors.entries()) gatherSlots(b, tensor, indices, next.tensors[i]!);
  }

  #makeMemory(slots: number): SlotMemory {
    const { kvHeads, headDim, capacity } = this.#size;
    const { dtype } = this.#options;
    const shape = { kvHeads, unitHeads: 1, dk: headDim, dv: headDim, dtype, withSums: false };
    return new SlotMemory(this.#rt, { ...shape, slots: Math.min(slots, capacity) });
  }

  /** Makes memory of its own with room for so many slots. */
  #makeRoom(slots: number): void {
    const room = this.#memory.shape.slots;
    if (slots <= room && !this.#memory.shared) return;
    const grown = slots <= room ? room : Math.min(this.#size.capacity, Math.max(slots, 2 * room));
    const own = this.#memory.copy(this.#held, Math.max(grown, slots));
    this.#memory.release();
    this.#memory = own;
  }

  /** What must be the same when it is restored. */
  #kind() {
    const { layer, layers, kvHeads, headDim, capacity } = this.#size;
    return {
      layer: 'voted',
      at: this.#options.beta === 0 ? 0 : [layer, layers],
      kvHeads,
      headDim,
      most: capacity,
      ...this.#options,
    };
  }

  #load(bytes: Uint8Array): void {
    const { state, data } = unpackLayer(bytes, this.#kind());
    const { length, held, pruned } = state as Record<'length' | 'held' | 'pruned', number>;
    if (held > this.#size.capacity || data.length !== this.#memory.savedBytes(held)) {
      throw new CacheDataError(`restore: ${data.length} bytes of data do not hold ${held} slots`);
    }
    this.#makeRoom(held);
    this.#memory.load(held, data);
    this.#length = length;
    this.#held = held;
    this.#pruned = pruned;
  }
}
