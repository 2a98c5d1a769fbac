/**
 * The memory that tensors and kernels live in: one WebAssembly.Memory, handed out in aligned blocks.
 *
 * @module
 */
import { MemoryLimitError } from '../errors.ts';
import { ARENA_START } from '../generated/kernels.ts';
import { Allocator, type Store } from './allocator.ts';

const PAGE = 65536;
const MAX_PAGES = 65536;

/** An allocator over a WebAssembly.Memory of its own. */
export class Arena extends Allocator {
  readonly memory: WebAssembly.Memory;

  /** @param limit most bytes that the memory may grow to. */
  constructor(limit: number, shared: boolean) {
    const most = Math.min(MAX_PAGES, Math.max(1, Math.floor(limit / PAGE)));
    const memory = newMemory(most, shared);
    super(storeOf(memory, most * PAGE), ARENA_START);
    this.memory = memory;
  }

  /** Fills everything that no live block holds with 0xff bytes (NaN), so that a test finds reads of unwritten memory. */
  poison(): void {
    const bytes = new Uint8Array(this.memory.buffer);
    for (const [begin, end] of this.free()) bytes.fill(0xff, begin, end);
  }
}

function storeOf(memory: WebAssembly.Memory, limit: number): Store {
  return {
    limit,
    get byteLength() {
      return memory.buffer.byteLength;
    },
    grow(bytes) {
      const have = memory.buffer.byteLength;
      const needed = Math.ceil((bytes - have) / PAGE);
      // growing by a quarter keeps the number of growths, each of which detaches views, small
      const generous = Math.min((limit - have) / PAGE, Math.max(needed, Math.ceil(have / PAGE / 4), 16));
      for (const pages of [generous, needed]) {
        try {
          memory.grow(pages);
          return true;
        } catch {}
      }
      return false;
    },
  };
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
