/**
 * Keys and values of some heads from one position on, in pages of a pool.
 *
 * @module
 */
import { type PagedStorage, storePages } from '../engines/store-pages.ts';
import type { Builder } from '../runtime/program.ts';
import { type Block, Tensor } from '../tensor.ts';
import type { ByteRun, ReadBytes } from './host-memory.ts';
import { type PagePool, rowBytes } from './page-pool.ts';

/** Heads that lie together: [from, to). */
export type HeadRun = readonly [from: number, to: number];

/** Which rows. */
export interface RowsPlan {
  /** Key/value heads of the layer. */
  readonly kvHeads: number;
  readonly runs: readonly HeadRun[];
  /** Positions [from, to) of the sequence; to may be Infinity. */
  readonly from: number;
  readonly to: number;
  /** Last positions that a query sees, its own counted: what lies before may be let go of. Infinity: all. */
  readonly window: number;
  /** Most tokens at a time. */
  readonly capacity: number;
}

/** Pages that a head takes at most. */
export function mostPages({ from, to, window, capacity }: RowsPlan, pageSize: number): number {
  const tokens = Math.max(0, Math.min(capacity, to) - from);
  // rows before the window may fill the first page but for its last row
  return Math.max(1, Math.ceil(tokens / pageSize) + (window <= tokens ? 1 : 0));
}

/** Number of heads in runs. */
export function headCount(runs: readonly HeadRun[]): number {
  return runs.reduce((n, [from, to]) => n + to - from, 0);
}

/** Rows in pages, which heads have tables of. All heads are alike: as many pages, the same positions. */
export class PagedRows {
  readonly plan: RowsPlan;
  readonly pool: PagePool;
  readonly #width: number;
  readonly #block: Block;
  /** The table of pages, which kernels have a copy of. */
  readonly #table: Int32Array<ArrayBuffer>;
  /** Pages of each head, and the position of the first slot. */
  #count = 0;
  #base: number;
  /** Position behind the last row. */
  #end: number;

  constructor(pool: PagePool, plan: RowsPlan) {
    this.pool = pool;
    this.plan = plan;
    this.#width = mostPages(plan, pool.pageSize);
    this.#base = plan.from;
    this.#end = plan.from;
    this.#table = new Int32Array(plan.kvHeads * this.#width);
    this.#block = { at: pool.runtime.allocate(this.tableBytes), disposed: false };
  }

  /** Position of the first row that it still holds. */
  get base(): number {
    return this.#base;
  }

  /** Rows of each head. */
  get held(): number {
    return this.#end - this.#base;
  }

  get tableBytes(): number {
    return 4 * this.plan.kvHeads * this.#width;
  }

  /** Bytes of its pages, those shared with forks included, and of the table. */
  get bytes(): number {
    return this.#heads * this.#count * this.pool.pageBytes + this.tableBytes;
  }

  /** i32 [Hkv, pages] as the kernels read it. */
  get table(): Tensor {
    const shape = [this.plan.kvHeads, this.#width];
    return new Tensor(this.pool.runtime, 'i32', shape, [this.#width, 1], this.#block, 0);
  }

  get storage(): PagedStorage {
    return this.pool.storage;
  }

  /** Pages that the pool must have free so that rows up to `end` fit, with what `seen` lets go of given back first. */
  need(end: number, seen: number): number {
    const drop = this.#dropping(seen);
    const more = Math.max(0, this.#pagesTo(end) - this.#count);
    const table = this.#table;
    const { pool } = this;
    let need = 0;
    for (const h of this.#rowsOf()) {
      const row = h * this.#width;
      need += more;
      for (let i = 0; i < drop; ++i) if (pool.alone(table[row + i]!)) need -= 1;
      if (this.#copies(end, drop) && !pool.alone(table[row + this.#last()]!)) need += 1;
    }
    return need;
  }

  /** Lets go of pages before the window of a query at `seen`, and takes those for rows up to `end`: there are enough. */
  reserve(end: number, seen: number): void {
    const { pool } = this;
    const drop = this.#dropping(seen);
    const copies = this.#copies(end, drop);
    const count = Math.max(this.#count, this.#pagesTo(end));
    const last = this.#last();
    const table = this.#table;
    let copied = false;
    for (const h of this.#rowsOf()) {
      const row = h * this.#width;
      for (let i = 0; i < drop; ++i) pool.give(table[row + i]!);
      if (copies && !pool.alone(table[row + last]!)) {
        const shared = table[row + last]!;
        const own = pool.take();
        pool.copy(shared, own);
        pool.give(shared);
        table[row + last] = own;
        copied = true;
      }
      table.copyWithin(row, row + drop, row + this.#count);
      for (let i = this.#count; i < count; ++i) table[row + i - drop] = pool.take();
    }
    if (copied || drop > 0 || count > this.#count) this.#writeTable();
    this.#count = count - drop;
    this.#base += drop * pool.pageSize;
  }

  /** Lays out that rows of tokens from `position` on are put in; there is room. k and v f32 [1, T, Hkv, D], shift f32 [Hkv, D]. */
  store(b: Builder, k: Tensor, v: Tensor, position: number, shift?: Tensor): void {
    const begin = Math.max(this.plan.from, position);
    const end = Math.min(this.plan.to, position + k.shape[1]!);
    if (end <= begin) return;
    for (const [from, to] of this.plan.runs) {
      const part = (x: Tensor) => x.slice(1, begin - position, end - position).slice(2, from, to);
      const table = this.table.slice(0, from, to);
      storePages(b, { k: part(k), v: part(v) }, this.storage, table, begin - this.#base, shift?.slice(0, from, to));
    }
  }

  /** Counts rows up to `position`. */
  fill(position: number): void {
    this.#end = this.#clamp(position);
  }

  /** Gives pages back that no row up to `position` needs. */
  trim(position: number): void {
    const end = this.#clamp(position);
    const count = Math.max(0, Math.ceil((end - this.#base) / this.pool.pageSize));
    const table = this.#table;
    for (const h of this.#rowsOf()) {
      for (let i = count; i < this.#count; ++i) this.pool.give(table[h * this.#width + i]!);
    }
    this.#count = Math.min(this.#count, count);
    this.#end = Math.min(this.#end, end);
  }

  /** Forgets everything. */
  clear(): void {
    this.trim(this.#base);
    this.#base = this.plan.from;
    this.#end = this.plan.from;
  }

  /** The same rows in the same pages, which are then shared. */
  fork(): PagedRows {
    const fork = new PagedRows(this.pool, this.plan);
    const table = this.#table;
    fork.#table.set(table);
    fork.#writeTable();
    // pages that are reserved, but have no row yet, stay this one's own
    fork.#count = this.#last() + 1;
    for (const h of this.#rowsOf()) {
      for (let i = 0; i < fork.#count; ++i) this.pool.share(table[h * this.#width + i]!);
    }
    fork.#base = this.#base;
    fork.#end = this.#end;
    return fork;
  }

  /** First position that the next query, at `seen`, sees of what is held. */
  firstSeen(seen: number): number {
    return Math.max(this.#base, Math.min(this.#end, seen - this.plan.window + 1));
  }

  /** Bytes of `count` rows of every head. */
  savedBytes(count: number): number {
    return this.#heads * count * rowBytes(this.pool.dtype, this.pool.headDim);
  }

  /** The rows from a position on, head by head: keys, values, scales, each of all rows, whatever the pages' size. */
  save(from: number, to: Uint8Array, read: ReadBytes): void {
    this.#transfer(from, to, (run, saved) => saved.set(read(run)));
  }

  /** Takes pages for rows [base, end) and fills them with what `save` wrote; it is empty, and the pool has enough. */
  restore(base: number, end: number, from: Uint8Array): void {
    this.#base = base;
    this.#end = base;
    this.reserve(end, 0);
    this.#end = end;
    this.#transfer(base, from, ({ at }, saved) => this.pool.runtime.write(at, saved));
  }

  dispose(): void {
    if (!this.pool.disposed) this.clear();
    this.#block.disposed = true;
    this.pool.runtime.release(this.#block.at);
  }

  #transfer(from: number, saved: Uint8Array, move: (run: ByteRun, saved: Uint8Array) => void): void {
    const { pool } = this;
    const { pageSize } = pool;
    const table = this.#table;
    const count = this.#end - from;
    let begin = 0;
    for (const h of this.#rowsOf()) {
      for (const [part, width] of pool.partBytes.entries()) {
        for (let slot = from - this.#base; slot < this.held; slot += pageSize - (slot % pageSize)) {
          const n = Math.min(pageSize - (slot % pageSize), this.held - slot);
          const run = pool.rows(part, table[h * this.#width + Math.floor(slot / pageSize)]!, slot % pageSize, n);
          const at = begin + (slot + this.#base - from) * width;
          move(run, saved.subarray(at, at + n * width));
        }
        begin += count * width;
      }
    }
  }

  /** Pages wholly before the window of a query at `seen`. */
  #dropping(seen: number): number {
    const before = Math.min(this.#end, seen - this.plan.window + 1) - this.#base;
    return Math.max(0, Math.floor(before / this.pool.pageSize));
  }

  /** Pages from the base on that rows up to a position take. */
  #pagesTo(position: number): number {
    return Math.ceil((this.#clamp(position) - this.#base) / this.pool.pageSize);
  }

  /** Page that the last row lies in. */
  #last(): number {
    return Math.ceil((this.#end - this.#base) / this.pool.pageSize) - 1;
  }

  /** Whether rows up to `end` begin in the middle of a page that stays: shared with a fork, it is copied first. */
  #copies(end: number, drop: number): boolean {
    const partly = (this.#end - this.#base) % this.pool.pageSize !== 0;
    return partly && this.#clamp(end) > this.#end && this.#last() >= drop;
  }

  #clamp(position: number): number {
    return Math.max(this.plan.from, Math.min(position, this.plan.to));
  }

  get #heads(): number {
    return headCount(this.plan.runs);
  }

  *#rowsOf(): Iterable<number> {
    for (const [from, to] of this.plan.runs) for (let h = from; h < to; ++h) yield h;
  }

  /** Gives kernels the table as it is now. */
  #writeTable(): void {
    this.pool.runtime.write(this.#block.at, this.#table);
  }
}
