/**
 * The memory that tensors and kernels live in: one WebAssembly.Memory, handed out in aligned blocks.
 *
 * @module
 */
import { MemoryLimitError } from '../errors.ts';
import { ARENA_START } from '../generated/kernels.ts';

const PAGE = 65536;
const MAX_PAGES = 65536;
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
  /** Size of the WebAssembly memory. */
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

/** Best-fit allocator whose free spans are kept in address order and joined with their neighbours. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly #limit: number;
  readonly #free: Span[] = [];
  readonly #live = new Map<number, number>();
  /** Blocks released while a dispatch may still touch them. */
  readonly #deferred: number[] = [];
  #end = ARENA_START;
  #used = 0;
  #peak = 0;
  #busy = 0;

  /** @param limit most bytes that the memory may grow to. */
  constructor(limit: number, shared: boolean) {
    const most = Math.min(MAX_PAGES, Math.max(1, Math.floor(limit / PAGE)));
    this.#limit = most * PAGE;
    this.memory = newMemory(most, shared);
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

  /** Fills everything that no live block holds with 0xff bytes (NaN), so that a test finds reads of unwritten memory. */
  poison(): void {
    const bytes = new Uint8Array(this.memory.buffer);
    for (const span of this.#free) bytes.fill(0xff, span.at, span.at + span.bytes);
    bytes.fill(0xff, this.#end);
  }

  report(): MemoryReport {
    return {
      used: this.#used,
      peak: this.#peak,
      reserved: this.memory.buffer.byteLength,
      limit: this.#limit,
      blocks: this.#live.size,
    };
  }

  #join(at: number): void {
    const bytes = this.#live.get(at)!;
    this.#live.delete(at);
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
    const have = this.memory.buffer.byteLength;
    if (end <= have) return;
    const needed = Math.ceil((end - have) / PAGE);
    const room = (this.#limit - have) / PAGE;
    const refusal = (reason: string) =>
      new MemoryLimitError(
        `cannot allocate ${asked} bytes: ${reason} (${this.#used} bytes in ${this.#live.size} blocks are in use, ` +
          `limit ${this.#limit}). Dispose tensors, use rt.scope(), or create the runtime with a larger { memory }.`,
      );
    if (needed > room) throw refusal('the memory limit is reached');
    // growing by a quarter keeps the number of growths, each of which detaches views, small
    const generous = Math.min(room, Math.max(needed, Math.ceil(have / PAGE / 4), 16));
    try {
      this.memory.grow(generous);
    } catch {
      try {
        this.memory.grow(needed);
      } catch {
        throw refusal('the engine refused to grow the memory');
      }
    }
  }
}

/** Phones refuse a large shared reservation: each refusal halves it. */
function newMemory(maximum: number, shared: boolean): WebAssembly.Memory {
  for (let most = maximum; ; most = Math.floor(most / 2)) {
    try {
      return new WebAssembly.Memory({ initial: Math.min(16, most), maximum: most, shared });
    } catch (error) {
      if (most <= 256) {
        throw new MemoryLimitError(`cannot reserve ${most * PAGE} bytes of memory: ${(error as Error).message}`);
      }
    }
  }
}
