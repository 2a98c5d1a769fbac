/**
 * The cache of a layer in pages: all keys, a window, sinks and a window, or some heads this way and some that way.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { mergeStates } from '../engines/decode.ts';
import { rotaryAngles, rotate } from '../engines/rotary.ts';
import { CacheDataError, CacheFullError, OptionError } from '../errors.ts';
import { attend } from '../ops/attention.ts';
import type { Builder } from '../runtime/program.ts';
import { type Block, Tensor } from '../tensor.ts';
import { type ByteRun, liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import type { PagePool } from './page-pool.ts';
import { type HeadRun, headCount, mostPages, PagedRows, type RowsPlan } from './paged-rows.ts';
import { SavedReader, SavedWriter } from './saved.ts';

/** Rotary embedding by the place in the cache: keys and queries come unrotated. */
export interface SlotRope {
  /** Pair i turns by place * theta^(-2i / D). Default 10000. */
  readonly theta?: number;
  /** Pairs are neighbours instead of half a head apart. Default false. */
  readonly interleaved?: boolean;
}

/** What the heads of a layer keep. */
export interface PagedPlan {
  /** For each key/value head whether it keeps all keys. */
  readonly full: readonly boolean[];
  /** First and last keys that the other heads see, the query's own counted. */
  readonly sinks: number;
  readonly window: number;
  readonly rope?: Required<SlotRope> | undefined;
  /** Whether keys are kept less the first one: softmax is the same for any key that is taken from all. Not with rope. */
  readonly smoothKeys?: boolean;
}

/** Heads of one kind, in runs. */
function runsOf(full: readonly boolean[], wanted: boolean): HeadRun[] {
  const runs: [number, number][] = [];
  full.forEach((is, h) => {
    if (is !== wanted) return;
    const last = runs.at(-1);
    if (last?.[1] === h) last[1] = h + 1;
    else runs.push([h, h + 1]);
  });
  return runs;
}

/** The rows that a layer keeps: all of some heads, first ones and last ones of the others. */
function rowPlans({ kvHeads, capacity }: LayerSize, { full, sinks, window }: PagedPlan): RowsPlan[] {
  const shared = { kvHeads, capacity };
  const all = runsOf(full, true);
  const streaming = runsOf(full, false);
  const last = { ...shared, runs: streaming, from: sinks, to: Number.POSITIVE_INFINITY, window };
  const first = { ...shared, runs: streaming, from: 0, to: sinks, window: Number.POSITIVE_INFINITY };
  return [
    ...(streaming.length > 0 && sinks > 0 ? [first] : []),
    ...(streaming.length > 0 ? [last] : []),
    ...(all.length > 0 ? [{ ...last, runs: all, from: 0, window: Number.POSITIVE_INFINITY }] : []),
  ];
}

/** Pages that a layer takes at most. */
export function layerPages(size: LayerSize, plan: PagedPlan, pageSize: number): number {
  return rowPlans(size, plan).reduce((n, rows) => n + headCount(rows.runs) * mostPages(rows, pageSize), 0);
}

/** A layer's keys and values in the pages of a pool; see `PagedPlan` for what is kept. */
export class PagedLayer implements LayerCache {
  readonly joined = true;
  readonly #size: LayerSize;
  readonly #plan: PagedPlan;
  readonly #pool: PagePool;
  readonly #rows: PagedRows[];
  /** f32 [Hkv, D]: the first key of each head, which is taken from all. */
  readonly #shift: Block | undefined;
  #length = 0;
  /** The length once the program in the making has run. */
  #next = 0;

  constructor(pool: PagePool, size: LayerSize, plan: PagedPlan, rows?: PagedRows[]) {
    this.#size = size;
    this.#plan = plan;
    this.#pool = pool;
    this.#rows = rows ?? made(rowPlans(size, plan), (each) => new PagedRows(pool, each));
    if (!plan.smoothKeys) return;
    try {
      this.#shift = { at: pool.runtime.allocate(4 * size.kvHeads * size.headDim), disposed: false };
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  get length(): number {
    return this.#length;
  }

  get held(): number {
    const streaming = this.#rows.filter(({ plan }) => !keepsAll(plan)).reduce((n, rows) => n + rows.held, 0);
    return Math.max(streaming, ...this.#rows.filter(({ plan }) => keepsAll(plan)).map((rows) => rows.held));
  }

  get bytes(): number {
    const shift = this.#shift ? 4 * this.#size.kvHeads * this.#size.headDim : 0;
    return this.#rows.reduce((n, rows) => n + rows.bytes, shift);
  }

  /** Shortest length that the next query could follow. */
  get shortest(): number {
    return Math.max(0, ...this.#rows.map(({ base, plan }) => (base > plan.from ? base + plan.window - 1 : 0)));
  }

  reserve(count: number): void {
    const { layer, capacity } = this.#size;
    const end = this.#length + count;
    const kept = this.#keptBefore();
    if (kept + count > capacity) {
      const advice = kept < this.#length ? `Append at most ${capacity - kept} at a time` : 'Truncate';
      throw new CacheFullError(
        `${count} tokens do not fit in a cache that holds ${kept} of at most ${capacity}, which later ones see ` +
          `(layer ${layer}). ${advice}, or make the cache with a larger capacity or a policy that lets tokens go.`,
      );
    }
    const need = this.#rows.reduce((n, rows) => n + rows.need(end, this.#length), 0);
    if (need > this.#pool.free) {
      throw new CacheFullError(
        `${count} tokens need ${need} pages (layer ${layer}), but ${this.#pool.free} of the pool's ${this.#pool.pages} are free. ` +
          'Dispose or truncate caches that share the pool, or make it with more pages.',
      );
    }
    for (const rows of this.#rows) rows.reserve(end, this.#length);
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    const { rope } = this.#plan;
    const keys = rope ? this.#rotated(b, k, this.#length, rope) : k;
    const shift = this.#shiftTensor();
    if (shift && this.#length === 0 && k.shape[1]! > 0)
      copyRows(b, k.slice(1, 0, 1), shift.reshape([1, 1, ...shift.shape]));
    for (const rows of this.#rows) rows.store(b, keys, v, this.#length, shift);
    this.#next = this.#length + k.shape[1]!;
    return {
      commit: () => {
        this.#length = this.#next;
        for (const rows of this.#rows) rows.fill(this.#length);
      },
    };
  }

  attend(b: Builder, query: LayerQuery): { readonly o: Tensor } {
    const { q } = query;
    const { kvHeads } = this.#size;
    const [, T, heads, D] = q.shape as [number, number, number, number];
    const start = this.#next - T;
    const o = query.o ?? b.output([1, T, heads, D]);
    const streaming = this.#rows.filter(({ plan }) => !keepsAll(plan) && plan.from < this.#next);
    for (const { base, plan } of streaming) {
      if (base > plan.from && base > start - plan.window + 1) {
        throw new OptionError(
          `${T} queries see tokens from ${start - plan.window + 1} on, those before ${base} were let go of. ` +
            'Attend with the queries of the tokens of the last append.',
        );
      }
    }
    const { rope } = this.#plan;
    const turned = rope ? this.#rotated(b, q, start, rope) : q;
    const call = (rows: PagedRows, queries: Tensor, target: Tensor, lse?: Tensor) =>
      this.#attendRows(b, rows, { ...query, q: queries }, start, { o: target, lse });
    if (streaming.length === 1) call(streaming[0]!, turned, o);
    if (streaming.length === 2) {
      const [first, last] = streaming as [PagedRows, PagedRows];
      const part = () => ({ o: b.temporary([1, T, heads, D]), lse: b.temporary([1, T, heads]) });
      const [one, other] = [part(), part()];
      // past the budget, sinks are as far away as the number of keys that are seen
      const most = first.plan.to + last.plan.window - 1;
      const near = rope && this.#next - 1 > most ? this.#rotated(b, q, start, rope, most) : turned;
      call(first, near, one.o, one.lse);
      call(last, turned, other.o, other.lse);
      // heads that keep all keys have no rows here: theirs are written over below
      mergeStates(b, one.o, one.lse, other.o, other.lse, o, one.lse);
    }
    for (const rows of this.#rows) if (keepsAll(rows.plan)) call(rows, q, o);
    const kinds = this.#plan.full.filter(Boolean).length;
    b.note(() => `${kinds} of ${kvHeads} key/value heads keep all keys, in pages of ${this.#pool.pageSize} tokens`);
    return { o };
  }

  fork(): LayerCache {
    const fork = new PagedLayer(
      this.#pool,
      this.#size,
      this.#plan,
      made(this.#rows, (rows) => rows.fork()),
    );
    const shift = this.#shiftRun();
    if (shift) this.#pool.runtime.move(fork.#shiftRun()!.at, shift.at, shift.length);
    fork.#length = this.#length;
    fork.#next = this.#length;
    return fork;
  }

  truncate(length: number): void {
    if (length < this.shortest) {
      throw new OptionError(
        `truncate: length is ${length}, but tokens that would be seen were let go of: expected ${this.shortest} to ${this.#length}`,
      );
    }
    for (const rows of this.#rows) rows.trim(length);
    this.#length = length;
    this.#next = length;
  }

  release(): void {
    for (const rows of this.#rows) rows.trim(this.#length);
    this.#next = this.#length;
  }

  clear(): void {
    for (const rows of this.#rows) rows.clear();
    this.#length = 0;
    this.#next = 0;
  }

  save(read: ReadBytes = liveBytes(this.#pool.runtime)): Uint8Array {
    const writer = new SavedWriter();
    writer.count(this.#length);
    const shift = this.#shiftRun();
    if (shift) writer.room(shift.length).set(read(shift));
    for (const rows of this.#rows) {
      const first = rows.firstSeen(this.#length);
      writer.count(first);
      rows.save(first, writer.room(rows.savedBytes(rows.base + rows.held - first)), read);
    }
    return writer.bytes();
  }

  /** @throws CacheDataError if the bytes are not those of such a layer, CacheFullError if the pool has too few pages. */
  static restore(pool: PagePool, size: LayerSize, plan: PagedPlan, bytes: Uint8Array): PagedLayer {
    const layer = new PagedLayer(pool, size, plan);
    try {
      layer.#restore(new SavedReader(bytes));
      return layer;
    } catch (error) {
      layer.dispose();
      throw error;
    }
  }

  dispose(): void {
    for (const rows of this.#rows) rows.dispose();
    if (!this.#shift) return;
    this.#shift.disposed = true;
    this.#pool.runtime.release(this.#shift.at);
  }

  #shiftTensor(): Tensor | undefined {
    const { kvHeads, headDim } = this.#size;
    return this.#shift && new Tensor(this.#pool.runtime, 'f32', [kvHeads, headDim], [headDim, 1], this.#shift, 0);
  }

  #shiftRun(): ByteRun | undefined {
    const { kvHeads, headDim } = this.#size;
    return this.#shift && { at: this.#shift.at, length: 4 * kvHeads * headDim };
  }

  #restore(reader: SavedReader): void {
    const length = reader.count('length');
    const shift = this.#shift && reader.take(4 * this.#size.kvHeads * this.#size.headDim, 'first keys');
    const spans = this.#rows.map((rows) => {
      const { from, to, window, capacity } = rows.plan;
      const base = reader.count('first position');
      const end = Math.max(from, Math.min(length, to));
      const needed = Math.max(from, Math.min(end, length - window + 1));
      if (base < from || base > needed) {
        throw new CacheDataError(`rows begin at position ${base} of ${length}, expected ${from} to ${needed}`);
      }
      if (mostPages(rows.plan, this.#pool.pageSize) * this.#pool.pageSize < end - base) {
        throw new CacheDataError(`${end - base} tokens of a head do not fit in a cache of at most ${capacity}`);
      }
      return { rows, base, end, bytes: reader.take(rows.savedBytes(end - base), 'rows') };
    });
    reader.end();
    const pages = spans.reduce(
      (n, { rows, base, end }) => n + headCount(rows.plan.runs) * Math.ceil((end - base) / this.#pool.pageSize),
      0,
    );
    if (pages > this.#pool.free) {
      throw new CacheFullError(
        `${length} tokens need ${pages} pages (layer ${this.#size.layer}), but ${this.#pool.free} of the pool's ` +
          `${this.#pool.pages} are free. Dispose or truncate caches that share the pool, or make it with more pages.`,
      );
    }
    if (shift) this.#pool.runtime.write(this.#shift!.at, shift);
    for (const { rows, base, end, bytes } of spans) rows.restore(base, end, bytes);
    this.#length = length;
    this.#next = length;
  }

  /** Tokens of the head that keeps most that the next query sees. */
  #keptBefore(): number {
    const { full, sinks, window } = this.#plan;
    const { length } = this;
    if (full.some(Boolean)) return length;
    return Math.min(length, sinks) + Math.max(0, Math.min(length - sinks, window - 1));
  }

  /** Attention of the heads of some rows; each head is a sequence with pages of its own. */
  #attendRows(
    b: Builder,
    rows: PagedRows,
    { q, scale, softcap }: LayerQuery,
    start: number,
    { o, lse }: { readonly o: Tensor; readonly lse?: Tensor | undefined },
  ): void {
    const { kvHeads } = this.#size;
    const [, T, heads, D] = q.shape as [number, number, number, number];
    const group = heads / kvHeads;
    const { base, plan } = rows;
    const kLength = Math.min(this.#next, plan.to) - base;
    const byHead = (x: Tensor) =>
      x.restride([kvHeads, T, group, D], [group * x.strides[2]!, x.strides[1]!, x.strides[2]!, 1]);
    const sequences = plan.runs.flatMap(([from, to]) =>
      Array.from({ length: to - from }, (_, i) => ({
        batch: from + i,
        qStart: 0,
        qLength: T,
        kStart: 0,
        kLength,
        // past the last key all are seen, however far
        offset: Math.min(start - base, kLength),
      })),
    );
    attend(b, {
      q: byHead(q),
      ...rows.storage,
      pages: { table: rows.table, size: rows.pool.pageSize },
      o: byHead(o),
      lse: lse?.restride([kvHeads, T, group], [group, heads, 1]),
      sequences,
      scale,
      softcap,
      window: [Number.isFinite(plan.window) ? plan.window - 1 : -1, 0],
    });
  }

  /** x [1, T, H, D] turned by places from `start` on, at most `most`. */
  #rotated(b: Builder, x: Tensor, start: number, rope: Required<SlotRope>, most = Number.POSITIVE_INFINITY): Tensor {
    const [, T, , D] = x.shape as [number, number, number, number];
    const places = Float64Array.from({ length: T }, (_, t) => Math.min(start + t, most));
    const angles = rotaryAngles(places, D / 2, rope.theta);
    const table = (values: Float32Array) => {
      const tensor = b.temporary([1, T, D / 2]);
      tensor.write(values);
      return tensor;
    };
    const o = b.temporary(x.shape);
    const { interleaved } = rope;
    rotate(b, { x, o, cos: table(angles.cos), sin: table(angles.sin), rotated: D, interleaved });
    return o;
  }
}

function keepsAll({ from, to, window }: RowsPlan): boolean {
  return from === 0 && to === Number.POSITIVE_INFINITY && window === Number.POSITIVE_INFINITY;
}

/** Makes one of each; if one fails, none stays. */
function made<A>(items: readonly A[], make: (item: A) => PagedRows): PagedRows[] {
  const rows: PagedRows[] = [];
  try {
    for (const item of items) rows.push(make(item));
  } catch (error) {
    for (const each of rows) each.dispose();
    throw error;
  }
  return rows;
}
