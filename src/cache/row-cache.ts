/**
 * Caches whose tokens are rows of named columns: what compact forms of keys and values have in common.
 *
 * @module
 */
import { storeRows } from '../engines/copy.ts';
import { expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import {
  BusyError,
  CacheDataError,
  CacheFullError,
  HostAccessError,
  OptionError,
  UnsupportedError,
} from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { type ByteRun, liveBytes, type ReadBytes, savedFrom } from './host-memory.ts';
import { ownTensor } from './own-tensor.ts';
import { SavedReader, SavedWriter, sealed, unsealed } from './saved.ts';

/** How numbers are kept; arithmetic is f32. */
export type RowType = 'f32' | 'f16' | 'bf16';

/** Options that all caches of rows have. */
export interface RowCacheOptions {
  /** Most tokens of a sequence. Their memory is taken at once. */
  readonly capacity: number;
  /** Sequences, all of one length. Default 1. */
  readonly batch?: number;
  /** Default 'f32'. */
  readonly dtype?: RowType;
}

/** Lengths of a column's axes behind batch and time: one or two. */
export type Columns<Name extends string> = Readonly<Record<Name, readonly number[]>>;

const TYPES: readonly RowType[] = ['f32', 'f16', 'bf16'];

/** A whole number from 1 on. @throws OptionError if it is missing, or is not. */
export function positive(what: string, name: string, value: number | undefined, most?: number): number {
  if (value === undefined) throw new OptionError(`${what}: ${name} is missing, expected a whole number >= 1`);
  return whole(what, name, value, 1, 1, most);
}

/** Tokens as rows [B, capacity, all columns], of which columns are read where they lie. */
export class RowCache<Name extends string> {
  readonly runtime: Runtime;
  readonly capacity: number;
  readonly batch: number;
  readonly dtype: RowType;
  /** Numbers of one token, of all layers that use the cache together. */
  readonly width: number;
  readonly #what: string;
  readonly #columns: Columns<Name>;
  readonly #rows: Tensor;
  #length = 0;
  #busy = false;

  /** Made by the caches of each form. */
  constructor(rt: Runtime, what: string, options: RowCacheOptions, columns: Columns<Name>) {
    const { dtype = 'f32' } = options;
    if (!TYPES.includes(dtype)) {
      throw new OptionError(`${what}: dtype is '${dtype}', expected ${TYPES.map((type) => `'${type}'`).join(' or ')}`);
    }
    this.runtime = rt;
    this.capacity = positive(what, 'capacity', options.capacity);
    this.batch = whole(what, 'batch', options.batch, 1, 1);
    this.dtype = dtype;
    this.#what = what;
    this.#columns = columns;
    this.width = Object.values<readonly number[]>(columns).reduce(
      (sum, axes) => sum + axes.reduce((n, m) => n * m, 1),
      0,
    );
    const sequenceBytes = this.capacity * this.width * bytesOf(dtype);
    if (rt.backend === 'webgpu' && this.batch > 1 && sequenceBytes % 4 !== 0) {
      throw new UnsupportedError(
        `${what}: a sequence of ${this.capacity} rows of ${this.width} elements in ${dtype} has ${sequenceBytes} bytes; on WebGPU it is whole ` +
          "words of 4. Make the capacity even, or use dtype 'f32'.",
      );
    }
    this.#rows = ownTensor(rt, [this.batch, this.capacity, this.width], dtype);
  }

  /** Tokens of each sequence. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of the tokens that are in the cache. */
  get bytes(): number {
    return this.batch * this.#length * this.width * bytesOf(this.dtype);
  }

  /** Bytes that the cache holds for all of its capacity. */
  get reserved(): number {
    return this.batch * this.capacity * this.width * bytesOf(this.dtype);
  }

  /** Tokens [from, to) of a column, [B, to - from, ...], where they lie. Default: all that are in the cache. */
  column(name: Name, from = 0, to: number = this.#length): Tensor {
    let first = 0;
    for (const [other, axes] of Object.entries<readonly number[]>(this.#columns)) {
      const size = axes.reduce((n, m) => n * m, 1);
      if (other !== name) {
        first += size;
        continue;
      }
      const [strideB, strideT] = this.#rows.strides as [number, number];
      const inner = axes.map((_, i) => axes.slice(i + 1).reduce((n, m) => n * m, 1));
      const rows = this.#rows.slice(1, from, to).slice(2, first, first + size);
      return rows.restride([this.batch, to - from, ...axes], [strideB, strideT, ...inner]);
    }
    throw new OptionError(`${this.#what} has no column '${name}'; it has ${Object.keys(this.#columns).join(', ')}`);
  }

  /** Lays out that rows of new tokens are put in; returns how many they are. */
  #plan(b: Builder, rows: Readonly<Record<Name, Tensor>>): number {
    const op = `${this.#what}.append`;
    expectNames(op, 'input', rows, Object.keys(this.#columns));
    const patterns = {} as Record<Name, string>;
    for (const name in this.#columns) patterns[name] = [this.batch, 'T', ...this.#columns[name]].join(' ');
    const { T = 0 } = matchShapes<Name>(op, { ...rows }, patterns);
    expectTypes(op, rows, ['f32']);
    expectRows(op, rows);
    if (this.#length + T > this.capacity) {
      throw new CacheFullError(
        `${op}: ${T} tokens were given, there is room for ${this.capacity - this.#length} of ${this.capacity}. ` +
          'Make the cache with a larger capacity, or truncate it.',
      );
    }
    for (const name in this.#columns) {
      const four = (x: Tensor) =>
        x.shape.length === 4
          ? x
          : x.restride([this.batch, T, 1, x.shape[2]!], [x.strides[0]!, x.strides[1]!, 0, x.strides[2]!]);
      storeRows(b, four(rows[name]), four(this.column(name, this.#length, this.#length + T)));
    }
    return T;
  }

  /**
   * Puts new tokens in, f32, one tensor [B, T, ...] for each column; their own memory is not needed any more.
   *
   * @throws CacheFullError where there is no room for all of them; ShapeError, DTypeError where they do not fit. The cache is then as before.
   */
  async append(rows: Readonly<Record<Name, Tensor>>): Promise<void> {
    if (this.#busy) throw new BusyError(`${this.#what}.append: another append is in flight. Await it first.`);
    this.#busy = true;
    try {
      const count = await run(`${this.#what}.append`, { ...rows, rows: this.#rows }, (b) => this.#plan(b, rows));
      this.#length += count;
    } finally {
      this.#busy = false;
    }
  }

  /** As `append`, to the end before it returns. */
  appendSync(rows: Readonly<Record<Name, Tensor>>): void {
    if (this.#busy) throw new BusyError(`${this.#what}.appendSync: an append is in flight. Await it first.`);
    this.#length += runSync(`${this.#what}.append`, { ...rows, rows: this.#rows }, (b) => this.#plan(b, rows));
  }

  /**
   * Forgets all tokens from `length` on.
   *
   * @throws OptionError if there are not as many.
   */
  truncate(length: number): void {
    if (this.#busy) throw new BusyError(`${this.#what}.truncate: an append is in flight. Await it first.`);
    this.#length = whole(`${this.#what}.truncate`, 'length', length, this.#length, 0, this.#length);
  }

  /** Where the tokens of one sequence lie. */
  #memory(sequence: number): ByteRun {
    const bytes = this.width * bytesOf(this.dtype);
    return { at: this.#rows.address + sequence * this.capacity * bytes, length: this.#length * bytes };
  }

  /** Takes the tokens of a cache of the same columns and batch. */
  protected take(other: RowCache<Name>): void {
    this.#length = other.#length;
    for (let b = 0; b < this.batch; ++b) {
      const { at, length } = other.#memory(b);
      this.runtime.move(this.#memory(b).at, at, length);
    }
  }

  /** Options, length and tokens. */
  protected saved(options: RowCacheOptions): Uint8Array {
    if (this.runtime.backend === 'webgpu') {
      throw new HostAccessError(`${this.#what}.save: the rows lie on the GPU. Use await saveAsync().`);
    }
    return this.#bytes(options, liveBytes(this.runtime));
  }

  /** As `saved`, of any memory. */
  protected async savedAsync(options: RowCacheOptions): Promise<Uint8Array> {
    if (this.#busy) throw new BusyError(`${this.#what}.saveAsync: an append is in flight. Await it first.`);
    this.#busy = true;
    try {
      return await savedFrom(this.runtime, (read) => this.#bytes(options, read));
    } finally {
      this.#busy = false;
    }
  }

  #bytes(options: RowCacheOptions, read: ReadBytes): Uint8Array {
    const writer = new SavedWriter();
    writer.block(new TextEncoder().encode(JSON.stringify([this.#what, options])));
    writer.count(this.#length);
    for (let b = 0; b < this.batch; ++b) writer.block(read(this.#memory(b)));
    return sealed(writer.bytes());
  }

  /** Reads what `saved` wrote into a cache that `make` makes of the options. */
  protected static restored<Options, Cache extends RowCache<string>>(
    what: string,
    bytes: Uint8Array,
    make: (options: Options) => Cache,
  ): Cache {
    const reader = new SavedReader(unsealed(bytes));
    const text = new TextDecoder().decode(reader.block('options'));
    let kind: unknown;
    let options: unknown;
    try {
      [kind, options] = JSON.parse(text) as [unknown, unknown];
    } catch {
      throw new CacheDataError(`${what}: the options of this saved cache are not readable`);
    }
    if (kind !== what) throw new CacheDataError(`${what}: these bytes are those of a ${kind}`);
    const cache = make(options as Options);
    try {
      const length = reader.count('length');
      if (length > cache.capacity) {
        throw new CacheDataError(`${what}: ${length} tokens were saved, its capacity is ${cache.capacity}`);
      }
      cache.#length = length;
      for (let b = 0; b < cache.batch; ++b) {
        const [from, to] = [reader.block('tokens'), cache.#memory(b)];
        if (from.length !== to.length) {
          throw new CacheDataError(`${what}: sequence ${b} has ${from.length} bytes, expected ${to.length}`);
        }
        cache.runtime.write(to.at, from);
      }
      reader.end();
    } catch (error) {
      cache.dispose();
      throw error;
    }
    return cache;
  }

  /** Gives the memory back. @throws DisposedError if it was given back before. */
  dispose(): void {
    this.#rows.dispose();
  }

  [Symbol.dispose](): void {
    if (!this.#rows.disposed) this.dispose();
  }
}
