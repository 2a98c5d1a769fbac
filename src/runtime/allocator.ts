/**
 * Hands out one range of addresses in aligned blocks, whatever memory lies behind it.
 *
 * @module
 */
import { MemoryLimitError } from '../errors.ts';

/** Cache line: no two threads' blocks share one. */
const ALIGN = 64;
/** Kernels may read this far past the end of a block. */
const READ_ROOM = 64;

/** Exact figures of an arena, in bytes. */
export interface MemoryReport {
  /** Held by live tensors, temporaries and scratch. */
  readonly used: number;
  /** Most that was ever used at once. */
  readonly peak: number;
  /** Size of the memory: the WebAssembly one, or the buffer on the GPU. */
  readonly reserved: number;
  /** What reserved may grow to. */
  readonly limit: number;
  /** Live blocks. */
  readonly blocks: number;
}

interface Span {
  at: number;
  bytes: number;
}

/** Memory that can grow. */
export interface Store {
  readonly byteLength: number;
  /** Most bytes that it may grow to. */
  readonly limit: number;
  /** Grows to `bytes` or more; false if the platform refuses. */
  grow(bytes: number): boolean;
}

/** Best-fit allocator whose free spans are kept in address order and joined with their neighbours. */
export class Allocator {
  readonly #store: Store;
  readonly #free: Span[] = [];
  readonly #live = new Map<number, number>();
  /** Blocks released while a dispatch may still touch them. */
  readonly #deferred: number[] = [];
  /** Live blocks whose contents are gone. */
  readonly #lost = new Set<number>();
  #end: number;
  #used = 0;
  #peak = 0;
  #busy = 0;

  /** @param start first address that may be handed out. */
  constructor(store: Store, start: number) {
    this.#store = store;
    this.#end = start;
  }

  /** Address of `bytes` fresh bytes; their contents are arbitrary. */
  allocate(bytes: number): number {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    let best = -1;
    for (let i = 0; i < this.#free.length; ++i) {
      const span = this.#free[i]!;
      if (span.bytes >= size && (best < 0 || span.bytes < this.#free[best]!.bytes)) best = i;
      if (span.bytes === size) break;
    }
    let at: number;
    if (best >= 0) {
      const span = this.#free[best]!;
      at = span.at;
      span.at += size;
      span.bytes -= size;
      if (span.bytes === 0) this.#free.splice(best, 1);
    } else {
      at = this.#end;
      this.#reserve(at + size + READ_ROOM, bytes);
      this.#end = at + size;
    }
    this.#live.set(at, size);
    this.#used += size;
    this.#peak = Math.max(this.#peak, this.#used);
    return at;
  }

  /** Gives a block back; while a dispatch is in flight it stays untouched until that ends. */
  release(at: number): void {
    if (this.#busy > 0) this.#deferred.push(at);
    else this.#join(at);
  }

  /** Keeps released blocks untouched until the matching `unpin`. */
  pin(): void {
    this.#busy += 1;
  }

  unpin(): void {
    this.#busy -= 1;
    if (this.#busy === 0) for (const at of this.#deferred.splice(0)) this.#join(at);
  }

  /** Notes that the contents of all live blocks are gone. They stay allocated until their holders release them. */
  lose(): void {
    for (const at of this.#live.keys()) this.#lost.add(at);
  }

  /** Whether the contents of a live block are gone. */
  lost(at: number): boolean {
    return this.#lost.size > 0 && this.#lost.has(at);
  }

  /** What no live block holds, as [begin, end). */
  free(): [begin: number, end: number][] {
    const spans = this.#free.map(({ at, bytes }): [number, number] => [at, at + bytes]);
    return [...spans, [this.#end, this.#store.byteLength]];
  }

  report(): MemoryReport {
    return {
      used: this.#used,
      peak: this.#peak,
      reserved: this.#store.byteLength,
      limit: this.#store.limit,
      blocks: this.#live.size,
    };
  }

  #join(at: number): void {
    const bytes = this.#live.get(at)!;
    this.#live.delete(at);
    this.#lost.delete(at);
    this.#used -= bytes;
    // the first free span behind the block
    let i = 0;
    for (let end = this.#free.length; i < end; ) {
      const middle = (i + end) >> 1;
      if (this.#free[middle]!.at > at) end = middle;
      else i = middle + 1;
    }
    const before = this.#free[i - 1];
    const after = this.#free[i];
    if (before && before.at + before.bytes === at) {
      before.bytes += bytes;
      if (after && before.at + before.bytes === after.at) {
        before.bytes += after.bytes;
        this.#free.splice(i, 1);
      }
    } else if (after && at + bytes === after.at) {
      after.at = at;
      after.bytes += bytes;
    } else {
      this.#free.splice(i, 0, { at, bytes });
    }
    const last = this.#free.at(-1);
    if (last && last.at + last.bytes === this.#end) {
      this.#end = last.at;
      this.#free.pop();
    }
  }

  #reserve(end: number, asked: number): void {
    if (end <= this.#store.byteLength) return;
    const past = end > this.#store.limit;
    if (!past && this.#store.grow(end)) return;
    const reason = past ? 'the memory limit is reached' : 'the platform refused to grow the memory';
    throw new MemoryLimitError(
      `cannot allocate ${asked} bytes: ${reason} (${this.#used} bytes in ${this.#live.size} blocks are in use, ` +
        `limit ${this.#store.limit}). Dispose tensors, use rt.scope(), or create the runtime with a larger { memory }.`,
    );
  }
}
