import { attention, pagedAttention, type Runtime, type Tensor } from '../../src/index.ts';

/** How keys and values are kept. */
export const cacheTypes = ['f32', 'f16', 'bf16', 'int8'] as const;
export type CacheType = (typeof cacheTypes)[number];

/** What a cache has room for. */
export interface CacheSize {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Most tokens. */
  readonly capacity: number;
}

/** Keys or values of a layer: [1, capacity, Hkv, D], or [pages, pageSize, Hkv, D]. */
interface Rows {
  readonly codes: Tensor;
  /** [1, capacity, Hkv] or [pages, pageSize, Hkv], for int8. */
  readonly scale?: Tensor;
}

interface Layer {
  readonly k: Rows;
  readonly v: Rows;
}

/** Most queries and most rows of a key/value head that one pagedAttention call takes. */
const pagedQueries = 16;
const pagedRows = 128;

/** Keys and values of one sequence, all memory taken at the start. */
export abstract class KvCache {
  readonly type: CacheType;
  readonly size: CacheSize;
  protected readonly rt: Runtime;
  protected readonly layers: readonly Layer[];
  #length = 0;

  /** @param places where rows can lie, in two axes: [1, capacity] or [pages, pageSize]. */
  protected constructor(rt: Runtime, size: CacheSize, type: CacheType, places: readonly [number, number]) {
    this.rt = rt;
    this.size = size;
    this.type = type;
    const rows = (): Rows => {
      const heads = [...places, size.kvHeads];
      return {
        codes: rt.empty([...heads, size.headDim], type === 'int8' ? 'i8' : type),
        ...(type === 'int8' && { scale: rt.empty(heads, 'f32') }),
      };
    };
    this.layers = Array.from({ length: size.layers }, () => ({ k: rows(), v: rows() }));
  }

  /** Tokens in the cache. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of one token in all layers, scales included. */
  get bytesPerToken(): number {
    const { layers, kvHeads, headDim } = this.size;
    const row = { f32: 4 * headDim, f16: 2 * headDim, bf16: 2 * headDim, int8: headDim + 4 }[this.type];
    return 2 * layers * kvHeads * row;
  }

  /** Bytes that the cache keeps allocated. */
  get bytes(): number {
    return this.places * this.bytesPerToken;
  }

  /** Tokens that there is memory for. */
  protected abstract get places(): number;

  /** Runs of consecutive tokens from `begin` to `end` as [axis-0 index, axis-1 index, length] of where they lie. */
  protected abstract runs(begin: number, end: number): Iterable<readonly [number, number, number]>;

  /** o [1, T, Hq, D] of q [1, T, Hq, D], whose own rows are already in k and v. */
  protected abstract attendRows(q: Tensor, k: Rows, v: Rows): Promise<Tensor>;

  /**
   * Puts the keys and values of the newest tokens in and attends to all tokens so far; `advance` counts the tokens
   * once all layers have them.
   *
   * @param q [1, T, Hq, D]
   * @param k [1, T, Hkv, D]
   * @param v [1, T, Hkv, D]
   * @returns o [1, T, Hq, D]
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor): Promise<Tensor> {
    const rows = this.layers[layer]!;
    this.#write(rows.k, k);
    this.#write(rows.v, v);
    return this.attendRows(q, rows.k, rows.v);
  }

  /** Takes places for `count` more tokens. @throws RangeError if there are none. */
  reserve(count: number): void {
    if (this.#length + count > this.size.capacity) {
      throw new RangeError(
        `${count} tokens do not fit in a cache that holds ${this.#length} of at most ${this.size.capacity}`,
      );
    }
  }

  /** Counts `count` tokens that all layers now hold. */
  advance(count: number): void {
    this.#length += count;
  }

  /** Forgets all tokens. */
  clear(): void {
    this.#length = 0;
  }

  /** Gives the memory back. */
  dispose(): void {
    for (const { k, v } of this.layers) for (const tensor of [k.codes, k.scale, v.codes, v.scale]) tensor?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #write(rows: Rows, fresh: Tensor): void {
    const { kvHeads, headDim } = this.size;
    const numbers = fresh.dataSync() as Float32Array;
    let at = 0;
    for (const [i, j, n] of this.runs(this.#length, this.#length + fresh.shape[1]!)) {
      const target = (tensor: Tensor) => tensor.slice(0, i, i + 1).slice(1, j, j + n);
      const part = numbers.subarray(at * kvHeads * headDim, (at + n) * kvHeads * headDim);
      at += n;
      const codes = target(rows.codes);
      if (rows.scale) {
        quantizeRows(part, headDim, codes.view() as Int8Array, target(rows.scale).view() as Float32Array);
      } else if (this.type === 'f32') {
        codes.view().set(part);
      } else {
        // a short-lived tensor is what narrows float32 to 16 bits
        const narrowed = this.rt.tensor(part, codes.shape, codes.dtype);
        codes.view().set(narrowed.view());
        narrowed.dispose();
      }
    }
  }
}

/** A cache whose tokens lie one after the other. */
export class ContiguousCache extends KvCache {
  constructor(rt: Runtime, size: CacheSize, type: CacheType) {
    super(rt, size, type, [1, size.capacity]);
  }

  protected override get places(): number {
    return this.size.capacity;
  }

  protected override runs(begin: number, end: number): [number, number, number][] {
    return [[0, begin, end - begin]];
  }

  protected override async attendRows(q: Tensor, k: Rows, v: Rows): Promise<Tensor> {
    const end = this.length + q.shape[1]!;
    const scales = k.scale && v.scale && { kScale: k.scale.slice(1, 0, end), vScale: v.scale.slice(1, 0, end) };
    const inputs = { q, k: k.codes.slice(1, 0, end), v: v.codes.slice(1, 0, end), ...scales };
    return (await attention(inputs, { causal: true })).o;
  }
}

/** A cache in pages, taken from a pool as tokens come; all layers use the same table. */
export class PagedCache extends KvCache {
  readonly pageSize: number;
  readonly #table: Tensor;
  readonly #seqLens: Tensor;
  readonly #pages: number[] = [];
  readonly #free: number[];

  /** @param pageSize tokens of a page. */
  constructor(rt: Runtime, size: CacheSize, type: CacheType, pageSize = 16) {
    const pages = Math.ceil(size.capacity / pageSize);
    super(rt, size, type, [pages, pageSize]);
    this.pageSize = pageSize;
    this.#table = rt.tensor(new Int32Array(pages), [1, pages]);
    this.#seqLens = rt.tensor(new Int32Array(1), [1]);
    this.#free = Array.from({ length: pages }, (_, page) => page);
  }

  protected override get places(): number {
    return this.#table.size * this.pageSize;
  }

  override reserve(count: number): void {
    super.reserve(count);
    while (this.#pages.length * this.pageSize < this.length + count) {
      // the last free page first: the table is then never the identity, as in a pool that many sequences share
      this.#pages.push(this.#free.pop()!);
    }
    this.#table.view().set(this.#pages);
  }

  override clear(): void {
    super.clear();
    this.#free.push(...this.#pages.splice(0).reverse());
  }

  override dispose(): void {
    super.dispose();
    this.#table.dispose();
    this.#seqLens.dispose();
  }

  protected override *runs(begin: number, end: number): Iterable<[number, number, number]> {
    for (let at = begin; at < end; ) {
      const n = Math.min(end - at, this.pageSize - (at % this.pageSize));
      yield [this.#pages[Math.floor(at / this.pageSize)]!, at % this.pageSize, n];
      at += n;
    }
  }

  protected override async attendRows(q: Tensor, k: Rows, v: Rows): Promise<Tensor> {
    const [, count, heads, headDim] = q.shape as [number, number, number, number];
    const step = Math.max(1, Math.min(pagedQueries, Math.floor((pagedRows * this.size.kvHeads) / heads)));
    const scales = k.scale && v.scale && { kScale: k.scale, vScale: v.scale };
    const parts: Tensor[] = [];
    for (let begin = 0; begin < count; begin += step) {
      const end = Math.min(count, begin + step);
      this.#seqLens.view()[0] = this.length + end;
      const cache = { kCache: k.codes, vCache: v.codes, blockTable: this.#table, seqLens: this.#seqLens };
      parts.push((await pagedAttention({ q: q.slice(1, begin, end), ...cache, ...scales }, { causal: true })).o);
    }
    if (parts.length === 1) return parts[0]!;
    const o = this.rt.empty([1, count, heads, headDim]);
    const whole = o.view() as Float32Array;
    for (const [i, part] of parts.entries()) whole.set(part.view(), i * step * heads * headDim);
    return o;
  }
}

/**
 * Rounds rows of `width` numbers to int8, each with the scale that makes its largest number 127.
 *
 * @param codes as long as `rows`; a row is then about code * scale.
 * @param scale one per row; 0 for a row of zeros.
 */
export function quantizeRows(rows: Float32Array, width: number, codes: Int8Array, scale: Float32Array): void {
  for (let row = 0; row < scale.length; row++) {
    const numbers = rows.subarray(row * width, (row + 1) * width);
    const step = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127;
    scale[row] = step;
    for (let i = 0; i < width; i++) codes[row * width + i] = step === 0 ? 0 : Math.round(numbers[i]! / step);
  }
}
