/**
 * The cache of a layer that lets a token go for each one that comes in, by the weights of its queries.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { slotAttend } from '../engines/slot-attention.ts';
import { CacheDataError, CacheFullError, OptionError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type DType, type Tensor } from '../tensor.ts';
import { type ByteRun, liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { expectLength, expectQuery, expectSize, expectTokens } from './layer-operands.ts';
import { ownTensor } from './own-tensor.ts';
import { packLayer, unpackLayer } from './saved-layer.ts';
import { SlotMemory } from './slot-memory.ts';

/** Tokens that a waiting room has at least; a larger one is given back once it is empty. */
const WAITING = 16;

/** How tokens are let go; checked by slotLayer. */
export interface EvictingOptions {
  readonly budget: number;
  readonly recent: number;
  readonly addSums: boolean;
  readonly perHead: boolean;
  readonly dtype: DType;
}

/** Tokens that have come in and whose queries have not attended yet. */
interface Waiting {
  /** f32 [1, room, Hkv, D] */
  readonly k: Tensor;
  readonly v: Tensor;
}

/** As `slotLayer` describes it. */
export class EvictingLayer implements LayerCache {
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #options: EvictingOptions;
  #memory: SlotMemory;
  #waiting: Waiting | undefined;
  #length = 0;
  /** Slots in use, and tokens that wait. */
  #held = 0;
  #waits = 0;
  /** Tokens that a program which has not run yet puts into the waiting room. */
  #open: { readonly b: Builder; tokens: number } | undefined;

  constructor(rt: Runtime, size: LayerSize, options: EvictingOptions, memory?: SlotMemory) {
    expectSize('slotLayer', size);
    this.#rt = rt;
    this.#size = size;
    this.#options = options;
    this.#memory =
      memory ??
      new SlotMemory(rt, {
        slots: Math.min(options.budget, size.capacity) + 1,
        kvHeads: size.kvHeads,
        unitHeads: options.perHead ? 1 : size.kvHeads,
        dk: size.headDim,
        dv: size.headDim,
        dtype: options.dtype,
        withSums: true,
      });
  }

  /** The layer whose `save` gave `bytes`. @throws CacheDataError if they are not those of such a layer. */
  static restore(rt: Runtime, size: LayerSize, options: EvictingOptions, bytes: Uint8Array): EvictingLayer {
    const layer = new EvictingLayer(rt, size, options);
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
    return this.#held + this.#waits;
  }

  get shortest(): number {
    const attended = this.#length - this.#waits;
    return this.#held < attended ? attended : 0;
  }

  get bytes(): number {
    const { k, v } = this.#waiting ?? {};
    return this.#memory.bytes + (k && v ? (k.size + v.size) * bytesOf('f32') : 0);
  }

  /** i32 [units * held]: positions of the tokens in the slots, in no order. */
  get positions(): Int32Array {
    const { positions } = this.#memory.slots;
    return positions.slice(2, 0, this.#held).dataSync() as Int32Array;
  }

  reserve(count: number): void {
    const { capacity } = this.#size;
    const needed = this.#held + this.#waits + count;
    if (this.#options.budget > capacity && needed > capacity) {
      throw new CacheFullError(
        `cache layer ${this.#size.layer}: ${count} more tokens make ${needed}, its capacity is ${capacity} and its policy lets none go ` +
          `below ${this.#options.budget}. Give it more capacity or a smaller budget.`,
      );
    }
    this.#makeRoom(this.#waits + count);
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    const count = expectTokens('append', this.#size, k, v);
    if (this.#open?.b !== b) this.#open = { b, tokens: 0 };
    const from = this.#waits + this.#open.tokens;
    this.#makeRoom(from + count);
    if (this.#waiting) {
      copyRows(b, k, this.#waiting.k.slice(1, from, from + count));
      copyRows(b, v, this.#waiting.v.slice(1, from, from + count));
    }
    this.#open.tokens += count;
    return {
      commit: () => {
        this.#open = undefined;
        this.#waits += count;
        this.#length += count;
      },
    };
  }

  attend(b: Builder, query: LayerQuery): { readonly o: Tensor; commit(): void } {
    const coming = this.#open?.b === b ? this.#open.tokens : 0;
    const tokens = this.#waits + coming;
    const T = expectQuery('attend', this.#size, query, tokens, 'tokens that have not been attended');
    const { q, scale, softcap } = query;
    const o = b.output([1, T, q.shape[2]!, this.#size.headDim]);
    if (this.#memory.shared) {
      const own = this.#memory.copy(this.#held);
      this.#memory.release();
      this.#memory = own;
    }
    const budget = this.#memory.shape.slots - 1;
    if (tokens > 0) {
      const { k, v } = this.#waiting!;
      const start = this.#length + coming - tokens;
      const news = { k: k.slice(1, 0, tokens), v: v.slice(1, 0, tokens), held: this.#held, start };
      const { recent, addSums } = this.#options;
      slotAttend(b, this.#memory.slots, news, { q, o, scale, softcap, budget, recent, addSums });
    }
    return {
      o,
      commit: () => {
        this.#held = Math.min(budget, this.#held + tokens);
        this.#waits -= tokens;
        if (this.#waits === 0 && this.#waiting && this.#waiting.k.shape[1]! > WAITING) this.#closeRoom();
      },
    };
  }

  fork(): EvictingLayer {
    const other = new EvictingLayer(this.#rt, this.#size, this.#options, this.#memory.share());
    other.#length = this.#length;
    other.#held = this.#held;
    if (this.#waits > 0) {
      other.#makeRoom(this.#waits);
      copyRoom(this.#rt, this.#waiting!, other.#waiting!);
      other.#waits = this.#waits;
    }
    return other;
  }

  truncate(length: number): void {
    expectLength('truncate', length, this.#length);
    const before = this.#length - this.#waits;
    if (length < this.shortest) {
      throw new OptionError(
        `truncate: length is ${length}, but of the ${before} tokens attended ${before - this.#held} were let go, by weights that ` +
          `later queries gave: expected ${before} to ${this.#length}. Fork the cache before tokens that may be taken back.`,
      );
    }
    this.#held = Math.min(this.#held, length);
    this.#waits = Math.max(0, length - before);
    this.#length = length;
    this.#open = undefined;
  }

  save(read: ReadBytes = liveBytes(this.#rt)): Uint8Array {
    const state = { length: this.#length, held: this.#held, waits: this.#waits };
    const inSlots = this.#memory.savedBytes(this.#held);
    return packLayer(this.#kind(), state, inSlots + this.#waitingBytes(this.#waits), (to) => {
      this.#memory.save(this.#held, to, read);
      let from = inSlots;
      for (const run of this.#waitingRows(this.#waits)) {
        to.set(read(run), from);
        from += run.length;
      }
    });
  }

  dispose(): void {
    this.#memory.release();
    this.#closeRoom();
  }

  /** What must be the same when it is restored. */
  #kind() {
    const { kvHeads, headDim, capacity } = this.#size;
    return { layer: 'evicting', kvHeads, headDim, capacity, ...this.#options };
  }

  #load(bytes: Uint8Array): void {
    const { state, data } = unpackLayer(bytes, this.#kind());
    const { length, held, waits } = state as Record<'length' | 'held' | 'waits', number>;
    const inSlots = this.#memory.savedBytes(held);
    if (held >= this.#memory.shape.slots || data.length !== inSlots + this.#waitingBytes(waits)) {
      throw new CacheDataError(`restore: ${data.length} bytes of data do not hold ${held} slots and ${waits} tokens`);
    }
    this.#memory.load(held, data);
    if (waits > 0) this.#makeRoom(waits);
    let from = inSlots;
    for (const { at, length } of this.#waitingRows(waits)) {
      this.#rt.write(at, data.subarray(from, from + length));
      from += length;
    }
    this.#length = length;
    this.#held = held;
    this.#waits = waits;
  }

  /** Bytes of keys and values of so many tokens that wait. */
  #waitingBytes(tokens: number): number {
    return 2 * tokens * this.#size.kvHeads * this.#size.headDim * bytesOf('f32');
  }

  /** Where the keys, and the values, of the first tokens that wait lie. */
  #waitingRows(tokens: number): ByteRun[] {
    if (tokens === 0) return [];
    const { k, v } = this.#waiting!;
    return [k, v].map((x) => ({ at: x.address, length: this.#waitingBytes(tokens) / 2 }));
  }

  /** Makes the waiting room large enough for so many tokens. */
  #makeRoom(tokens: number): void {
    const room = this.#waiting?.k.shape[1] ?? 0;
    if (tokens <= room) return;
    const { kvHeads, headDim } = this.#size;
    const shape = [1, Math.max(WAITING, tokens, Math.min(2 * room, 2 * WAITING)), kvHeads, headDim];
    const k = ownTensor(this.#rt, shape, 'f32');
    let v: Tensor;
    try {
      v = ownTensor(this.#rt, shape, 'f32');
    } catch (error) {
      k.dispose();
      throw error;
    }
    if (this.#waiting) copyRoom(this.#rt, this.#waiting, { k, v });
    this.#closeRoom();
    this.#waiting = { k, v };
  }

  #closeRoom(): void {
    this.#waiting?.k.dispose();
    this.#waiting?.v.dispose();
    this.#waiting = undefined;
  }
}

/** Copies the tokens of one waiting room to another, as many as both have room for. */
function copyRoom(rt: Runtime, from: Waiting, to: Waiting): void {
  const bytes = Math.min(from.k.size, to.k.size) * bytesOf('f32');
  rt.move(to.k.address, from.k.address, bytes);
  rt.move(to.v.address, from.v.address, bytes);
}
