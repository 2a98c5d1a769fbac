/**
 * Pages of keys and values that the layers and heads of many sequences share.
 *
 * @module
 */

import { MOST_DIM } from '../engines/attention-call.ts';
import { expectNames, whole } from '../engines/shapes.ts';
import type { PagedStorage } from '../engines/store-pages.ts';
import { DisposedError, OptionError, UnsupportedError } from '../errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { type Block, bytesOf, type DType, Tensor } from '../tensor.ts';
import type { ByteRun } from './host-memory.ts';

/** How pages keep numbers; int8 with a scale for each row. */
export type PageType = 'f32' | 'f16' | 'bf16' | 'int8';
export const pageTypes: readonly PageType[] = ['f32', 'f16', 'bf16', 'int8'];

/** Options of a pool. */
export interface PagePoolOptions {
  /** How many: a sequence takes layers * kvHeads * ceil(capacity / pageSize) of them, forks less where they share. */
  readonly pages: number;
  readonly headDim: number;
  /** Default 'f32'. */
  readonly dtype?: PageType;
  /** Tokens of a page. Default 64: as many keys as the kernels take at a time; with 16 attention to int8 takes up to twice as long. */
  readonly pageSize?: number;
}

const OP = 'PagePool';

/** Element type of rows, and floats of a row's scales. */
function storageType(dtype: PageType): { readonly element: DType; readonly scaled: boolean } {
  return dtype === 'int8' ? { element: 'i8', scaled: true } : { element: dtype, scaled: false };
}

/** Bytes of a key and a value of one head, scales included. */
export function rowBytes(dtype: PageType, headDim: number): number {
  const { element, scaled } = storageType(dtype);
  return 2 * (headDim * bytesOf(element) + (scaled ? 4 : 0));
}

/**
 * A fixed number of pages, each `pageSize` tokens of one key/value head of one layer: its keys, its values, and of int8 their scales.
 *
 * All memory is taken when the pool is made. Pages are counted: one that several sequences hold is free once all have given it back.
 *
 * Source: PagedAttention (Kwon 2023).
 *
 * @throws OptionError for options out of range, MemoryLimitError if the pages do not fit.
 * @throws UnsupportedError on a GPU for rows that are not whole words of four bytes: int8 wants headDim in fours, f16 and bf16 in twos.
 * @example using pool = new PagePool(rt, { pages: 4096, headDim: 64, dtype: 'int8' })
 */
export class PagePool {
  readonly runtime: Runtime;
  readonly pages: number;
  readonly pageSize: number;
  readonly headDim: number;
  readonly dtype: PageType;
  /** Bytes of one page. */
  readonly pageBytes: number;
  /** @internal Where rows and scales lie. */
  readonly storage: PagedStorage;
  readonly #block: Block;
  readonly #holders: Int32Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(runtime: Runtime, options: PagePoolOptions) {
    expectNames(OP, 'option', options, ['pages', 'headDim', 'dtype', 'pageSize']);
    const { dtype = 'f32' } = options;
    if (!pageTypes.includes(dtype)) {
      throw new OptionError(`${OP}: dtype is '${dtype}', expected one of ${pageTypes.join(', ')}`);
    }
    this.runtime = runtime;
    this.dtype = dtype;
    this.pages = whole(OP, 'pages', options.pages, Number.NaN, 1);
    this.headDim = whole(OP, 'headDim', options.headDim, Number.NaN, 1, MOST_DIM);
    this.pageSize = whole(OP, 'pageSize', options.pageSize, 64, 1, 4096);
    for (const name of ['pages', 'headDim'] as const) {
      if (Number.isNaN(this[name])) throw new OptionError(`${OP}: ${name} is missing, expected a whole number >= 1`);
    }
    const { element, scaled } = storageType(dtype);
    const width = bytesOf(element);
    const half = this.pageSize * this.headDim;
    if (runtime.backend === 'webgpu' && (this.headDim * width) % 4 !== 0) {
      throw new UnsupportedError(
        `${OP}: rows of ${this.headDim} elements in ${dtype} have ${this.headDim * width} bytes; on WebGPU they are whole words of 4. ` +
          "Use dtype 'f32', another headDim, or a runtime with the backend 'wasm'.",
      );
    }
    // scales lie behind the rows, at whole floats
    const scalesAt = Math.ceil((2 * half * width) / 4) * 4;
    this.pageBytes = Math.ceil((scalesAt + (scaled ? 8 * this.pageSize : 0)) / 16) * 16;
    this.#block = { at: runtime.allocate(this.pages * this.pageBytes), disposed: false };
    const view = (dtype: DType, row: readonly number[], at: number) => {
      const shape = [this.pages, this.pageSize, 1, ...row];
      const step = row[0] ?? 1;
      const strides = [this.pageBytes / bytesOf(dtype), step, step, ...row.map(() => 1)];
      return new Tensor(runtime, dtype, shape, strides, this.#block, at / bytesOf(dtype));
    };
    this.storage = {
      k: view(element, [this.headDim], 0),
      v: view(element, [this.headDim], half * width),
      ...(scaled && {
        kScale: view('f32', [], scalesAt),
        vScale: view('f32', [], scalesAt + 4 * this.pageSize),
      }),
    };
    this.#holders = new Int32Array(this.pages);
    this.#free = Int32Array.from({ length: this.pages }, (_, i) => this.pages - 1 - i);
    this.#freeCount = this.pages;
  }

  /** Pages that nobody holds. */
  get free(): number {
    return this.#freeCount;
  }

  /** Bytes of all pages. */
  get bytes(): number {
    return this.pages * this.pageBytes;
  }

  get disposed(): boolean {
    return this.#block.disposed;
  }

  /** @internal A free page, held once; the caller has asked whether there is one. */
  take(): number {
    this.check();
    if (this.#freeCount === 0) throw new OptionError(`${OP}: no page is free`);
    this.#freeCount -= 1;
    const page = this.#free[this.#freeCount]!;
    this.#holders[page] = 1;
    return page;
  }

  /** @internal Counts one more holder. */
  share(page: number): void {
    this.#holders[page]! += 1;
  }

  /** @internal Counts one holder less; the last one leaves it free. */
  give(page: number): void {
    this.#holders[page]! -= 1;
    if (this.#holders[page] !== 0) return;
    this.#free[this.#freeCount] = page;
    this.#freeCount += 1;
  }

  /** @internal Whether a page has one holder, who may write to it. */
  alone(page: number): boolean {
    return this.#holders[page] === 1;
  }

  /** @internal Copies a page. */
  copy(from: number, to: number): void {
    const at = (page: number) => this.#block.at + page * this.pageBytes;
    this.runtime.move(at(to), at(from), this.pageBytes);
  }

  /** @internal Bytes that a row has in each part of a page: keys, values, and their scales where there are such. */
  get partBytes(): number[] {
    return this.#parts.map(({ dtype, shape }) => bytesOf(dtype) * (shape[3] ?? 1));
  }

  /** @internal Where some rows of a part of a page lie. */
  rows(part: number, page: number, first: number, count: number): ByteRun {
    const width = this.partBytes[part]!;
    return { at: this.#parts[part]!.address + page * this.pageBytes + first * width, length: count * width };
  }

  /** @internal @throws DisposedError after `dispose`. */
  check(): void {
    if (this.#block.disposed) {
      throw new DisposedError(`this pool of ${this.pages} pages was disposed: keep it until its caches have ended`);
    }
  }

  /** Gives the memory back; caches in it end with it. */
  dispose(): void {
    if (this.#block.disposed) return;
    this.#block.disposed = true;
    this.runtime.release(this.#block.at);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  get #parts(): Tensor[] {
    const { k, v, kScale, vScale } = this.storage;
    return kScale && vScale ? [k, v, kScale, vScale] : [k, v];
  }
}
