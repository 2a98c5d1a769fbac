/**
 * Memory for temporaries that stays from call to call.
 *
 * @module
 */
import type { Block } from '../tensor.ts';
import type { Runtime } from './runtime.ts';

interface Kept {
  readonly block: Block;
  readonly bytes: number;
  lent: boolean;
}

/** Blocks that calls which do not overlap in time take in turn, so that repeated calls ask the arena for nothing. */
export class Workspace {
  readonly #runtime: Runtime;
  #kept: Kept[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** A block of at least `bytes` that no other part of the call has. */
  lend(bytes: number): Block {
    const idle = this.#kept.filter(({ lent }) => !lent);
    const fits = idle.filter((each) => each.bytes >= bytes);
    const found = fits.reduce<Kept | undefined>((a, b) => (a && a.bytes <= b.bytes ? a : b), undefined);
    if (found) {
      found.lent = true;
      return found.block;
    }
    // one that is too small has been outgrown
    if (idle.length > 0) this.#release(idle[0]!);
    const block: Block = { at: this.#runtime.allocate(bytes), disposed: false };
    this.#kept.push({ block, bytes, lent: true });
    return block;
  }

  /** Lets go of a block of this workspace, which is then its holder's. @returns whether it was one. */
  surrender(block: Block): boolean {
    const count = this.#kept.length;
    this.#kept = this.#kept.filter((each) => each.block !== block);
    return this.#kept.length < count;
  }

  /** Takes everything back at the end of a call. */
  collect(): void {
    for (const each of this.#kept) each.lent = false;
  }

  dispose(): void {
    for (const each of this.#kept) this.#release(each);
  }

  #release(each: Kept): void {
    this.surrender(each.block);
    each.block.disposed = true;
    this.#runtime.release(each.block.at);
  }
}
