/**
 * The cache of a layer whose heads share softmaxes, once it has been seen which attend alike.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { headClusters, putHeads, sideBySide } from '../engines/head-clusters.ts';
import { expectNames, flag, whole } from '../engines/shapes.ts';
import { CacheDataError, CacheFullError, OptionError, ShapeError, UnsupportedError } from '../errors.ts';
import { attend } from '../ops/attention.ts';
import type { Builder } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, type Tensor } from '../tensor.ts';
import { HeadMemory } from './head-memory.ts';
import { type ByteRun, liveBytes, type ReadBytes } from './host-memory.ts';
import type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
import { expectLength, expectQuery, expectSize, expectTokens } from './layer-operands.ts';
import { ownTensor } from './own-tensor.ts';
import { packLayer, unpackLayer } from './saved-layer.ts';

/** Tokens that there is room for at least. */
const ROOM = 64;

const TYPES = ['f32', 'f16', 'bf16'] as const;

/** Options of `chaiLayer`. */
export interface ChaiLayerOptions {
  /** Clusters of heads. */
  readonly clusters: number;
  /** First tokens whose softmax rows are compared. Default 5. */
  readonly tokens?: number;
  /** Whether those tokens see none that come later. Default false, as the authors' code has it. */
  readonly causal?: boolean;
  /** Default f32. */
  readonly dtype?: (typeof TYPES)[number];
}

/** Sizes that are saved. */
type SavedState = Record<'length' | 'queried' | 'known' | 'settled', number>;

/** What a program that has not run yet changes. */
interface OpenProgram {
  readonly b: Builder;
  tokens: number;
  memory?: HeadMemory | undefined;
}

/** The options with their defaults. @throws OptionError for options that do not fit. */
export function checkChai(op: string, size: LayerSize, options: ChaiLayerOptions): Required<ChaiLayerOptions> {
  expectSize(op, size);
  expectNames(op, 'option', options, ['clusters', 'tokens', 'causal', 'dtype']);
  const { dtype = 'f32' } = options;
  if (!TYPES.includes(dtype)) throw new OptionError(`${op}: dtype is ${dtype}, expected ${TYPES.join(' or ')}`);
  return {
    clusters: whole(op, 'clusters', options.clusters ?? Number.NaN, 1, 1, size.kvHeads),
    tokens: whole(op, 'tokens', options.tokens, 5, 1),
    causal: flag(op, 'causal', options.causal),
    dtype,
  };
}

/** As `chaiLayer` describes it. */
class ChaiLayer implements LayerCache {
  readonly #rt: Runtime;
  readonly #size: LayerSize;
  readonly #options: Required<ChaiLayerOptions>;
  #memory: HeadMemory;
  #length = 0;
  /** First head of each head's cluster, once it is known. */
  #labels: number[] | undefined;
  /** f32 [1, tokens, H, D]: queries of the first tokens, until the clusters are known; how many there are. */
  #queries: Tensor | undefined;
  #queried = 0;
  #open: OpenProgram | undefined;
  /** i32 [1, H]: where a program which has not run yet writes the clusters. */
  #found: Tensor | undefined;

  constructor(rt: Runtime, size: LayerSize, options: ChaiLayerOptions, memory?: HeadMemory) {
    this.#rt = rt;
    this.#size = size;
    this.#options = checkChai('chaiLayer', size, options);
    if (rt.backend === 'webgpu') {
      throw new UnsupportedError(
        "chaiLayer: the clusters of heads are read on the host in the midst of calls. Use a runtime with the backend 'wasm', or another policy.",
      );
    }
    this.#memory = memory ?? this.#makeMemory(ROOM);
  }

  /** The layer whose `save` gave `bytes`. @throws CacheDataError if they are not those of such a layer. */
  static restore(rt: Runtime, size: LayerSize, options: ChaiLayerOptions, bytes: Uint8Array): ChaiLayer {
    const layer = new ChaiLayer(rt, size, options);
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
    return this.#length;
  }

  /** Taking back everything is possible too. */
  get shortest(): number {
    return this.#labels ? this.#options.tokens : 0;
  }

  get bytes(): number {
    return this.#memory.bytes + (this.#queries ? this.#queries.size * bytesOf('f32') : 0);
  }

  /** First head of each head's cluster; undefined until it is known. */
  get clusters(): readonly number[] | undefined {
    return this.#labels;
  }

  reserve(count: number): void {
    const { capacity, layer } = this.#size;
    const needed = this.#length + count;
    if (needed > capacity) {
      throw new CacheFullError(
        `cache layer ${layer}: ${count} more tokens make ${needed}, its capacity is ${capacity}. Give it more capacity.`,
      );
    }
    this.#makeRoom(needed);
  }

  append(b: Builder, k: Tensor, v: Tensor): { commit(): void } {
    const count = expectTokens('append', this.#size, k, v);
    const open = this.#openFor(b);
    const from = this.#length + open.tokens;
    const to = from + count;
    if (!open.memory) this.#makeRoom(to);
    const memory = this.#memoryFor(open, to);
    putHeads(b, k, memory.firsts, memory.k.slice(1, from, to));
    putHeads(b, v, memory.order, memory.v.slice(1, from, to));
    open.tokens += count;
    return {
      commit: () => {
        this.#settle(open);
        this.#length += count;
      },
    };
  }

  attend(b: Builder, query: LayerQuery): { readonly o: Tensor; commit(): void } {
    const open = this.#openFor(b);
    const length = this.#length + open.tokens;
    const T = expectQuery('attend', this.#size, query, length, 'tokens in the cache');
    const { q, scale, softcap } = query;
    const { kvHeads, headDim } = this.#size;
    if (q.shape[2] !== kvHeads) {
      throw new ShapeError(
        `attend: q has ${q.shape[2]} heads, expected ${kvHeads}: heads of a chai layer have keys and values of their own`,
      );
    }
    const memory = this.#memoryFor(open, length);
    const o = b.output([1, T, kvHeads, headDim]);
    const [k, v] = [memory.k.slice(1, 0, length), memory.v.slice(1, 0, length)];
    const sequences = [{ batch: 0, qStart: 0, qLength: T, kStart: 0, kLength: length, offset: length - T }];
    const call = { sequences, scale, softcap, window: [-1, 0] as const };
    let found: Tensor | undefined;
    if (this.#labels) {
      const ordered = b.temporary(o.shape);
      let at = 0;
      for (const { first, members } of memory.groups) {
        const n = members.length;
        const c = memory.keyHeads.indexOf(first);
        const one = { q: q.slice(2, first, first + 1), k: k.slice(2, c, c + 1) };
        attend(b, { ...call, ...one, v: sideBySide(v, at, n)!, o: sideBySide(ordered, at, n)! });
        at += n;
      }
      putHeads(b, ordered, memory.places, o);
    } else {
      attend(b, { ...call, q, k, v, o });
      found = this.#compareHeads(b, q, k, scale);
    }
    const queried = Math.min(length, this.#options.tokens);
    const noted = length - T <= this.#queried;
    return {
      o,
      commit: () => {
        this.#settle(open);
        if (noted && !this.#labels) this.#queried = Math.max(this.#queried, queried);
        if (!found || this.#found !== found) return;
        this.#labels = [...(found.dataSync() as Int32Array)];
        this.#forgetQueries();
      },
    };
  }

  fork(): ChaiLayer {
    const other = new ChaiLayer(this.#rt, this.#size, this.#options, this.#memory.share());
    other.#length = this.#length;
    other.#labels = this.#labels;
    other.#queried = this.#queried;
    if (this.#queries) {
      other.#queries = other.#makeQueries();
      const { address, size } = this.#queries;
      this.#rt.move(other.#queries.address, address, size * bytesOf('f32'));
    }
    return other;
  }

  truncate(length: number): void {
    expectLength('truncate', length, this.#length);
    const { tokens } = this.#options;
    if (this.#labels && length > 0 && length < tokens) {
      throw new OptionError(
        `truncate: length is ${length}, but the first ${tokens} tokens told which heads attend alike, and other heads' keys were let ` +
          `go: expected 0 or ${tokens} to ${this.#length}.`,
      );
    }
    this.#dropOpen();
    if (length === 0 && this.#labels) {
      const fresh = this.#makeMemory(ROOM);
      this.#memory.release();
      this.#memory = fresh;
      this.#labels = undefined;
    }
    this.#length = length;
    this.#queried = Math.min(this.#queried, length);
  }

  save(read: ReadBytes = liveBytes(this.#rt)): Uint8Array {
    const settled = this.#memory.shape.labels ? 1 : 0;
    const state: SavedState = {
      length: this.#length,
      queried: this.#queries ? this.#queried : 0,
      known: this.#labels ? 1 : 0,
      settled,
    };
    const labels = new Uint8Array(Int32Array.from(this.#labels ?? []).buffer);
    const parts = [labels, ...[...this.#memory.rows(this.#length), ...this.#queryRows(state.queried)].map(read)];
    const bytes = parts.reduce((sum, part) => sum + part.length, 0);
    return packLayer(this.#kind(), state, bytes, (to) => {
      let at = 0;
      for (const part of parts) {
        to.set(part, at);
        at += part.length;
      }
    });
  }

  dispose(): void {
    this.#dropOpen();
    this.#memory.release();
    this.#forgetQueries();
  }

  #openFor(b: Builder): OpenProgram {
    if (this.#open?.b === b) return this.#open;
    this.#dropOpen();
    const open = { b, tokens: 0 };
    this.#open = open;
    return open;
  }

  /** Forgets what a program that did not run would have made. */
  #dropOpen(): void {
    this.#open?.memory?.release();
    this.#open = undefined;
  }

  /** The memory that a program works on: as soon as clusters are known one by clusters, to which it first copies what is held. */
  #memoryFor(open: OpenProgram, slots: number): HeadMemory {
    if (open.memory) return open.memory;
    if (!this.#labels || this.#memory.shape.labels) return this.#memory;
    const memory = this.#makeMemory(Math.max(slots, this.#memory.shape.slots), this.#labels);
    open.memory = memory;
    const held = this.#length;
    putHeads(open.b, this.#memory.k.slice(1, 0, held), memory.firsts, memory.k.slice(1, 0, held));
    putHeads(open.b, this.#memory.v.slice(1, 0, held), memory.order, memory.v.slice(1, 0, held));
    return memory;
  }

  /** The program has run. */
  #settle(open: OpenProgram): void {
    if (this.#open === open) this.#open = undefined;
    if (!open.memory) return;
    this.#memory.release();
    this.#memory = open.memory;
    open.memory = undefined;
  }

  /** Lays out that queries of the first tokens are noted, and once they are all there, that their heads are compared. */
  #compareHeads(b: Builder, q: Tensor, k: Tensor, scale: number): Tensor | undefined {
    const { tokens, clusters, causal } = this.#options;
    const [length, T] = [k.shape[1]!, q.shape[1]!];
    const from = length - T;
    // queries that never came cannot be compared: such a layer keeps all heads
    if (from > this.#queried || from >= tokens) return undefined;
    this.#queries ??= this.#makeQueries();
    const to = Math.min(length, tokens);
    copyRows(b, q.slice(1, 0, to - from), this.#queries.slice(1, from, to));
    if (to < tokens) return undefined;
    this.#found ??= ownTensor(this.#rt, [1, this.#size.kvHeads], 'i32');
    headClusters(b, { q: this.#queries, k, scale, clusters, tokens, causal }, this.#found);
    return this.#found;
  }

  #makeQueries(): Tensor {
    const { kvHeads, headDim } = this.#size;
    return ownTensor(this.#rt, [1, this.#options.tokens, kvHeads, headDim], 'f32');
  }

  #forgetQueries(): void {
    this.#queries?.dispose();
    this.#queries = undefined;
    this.#found?.dispose();
    this.#found = undefined;
  }

  /** Where the queries of the first tokens lie. */
  #queryRows(count: number): ByteRun[] {
    if (!this.#queries) return [];
    return [{ at: this.#queries.address, length: count * this.#queries.strides[1]! * bytesOf('f32') }];
  }

  #makeMemory(slots: number, labels?: readonly number[]): HeadMemory {
    const { kvHeads: heads, headDim, capacity } = this.#size;
    const { dtype } = this.#options;
    return new HeadMemory(this.#rt, { slots: Math.min(slots, capacity), heads, headDim, dtype, labels });
  }

  /** Makes memory of its own with room for so many tokens. */
  #makeRoom(slots: number): void {
    const room = this.#memory.shape.slots;
    // what is about to be ordered by clusters is only read
    if (this.#labels && !this.#memory.shape.labels) return;
    if (slots <= room && !this.#memory.shared) return;
    const grown = slots <= room ? room : Math.max(slots, Math.min(this.#size.capacity, 2 * room));
    const own = this.#memory.copy(this.#length, grown);
    this.#memory.release();
    this.#memory = own;
  }

  /** What must be the same when it is restored. */
  #kind() {
    const { kvHeads, headDim, capacity } = this.#size;
    return { layer: 'chai', kvHeads, headDim, capacity, ...this.#options };
  }

  #load(bytes: Uint8Array): void {
    const { state, data } = unpackLayer(bytes, this.#kind());
    const { length, queried, known, settled } = state as SavedState;
    const labelBytes = known ? 4 * this.#size.kvHeads : 0;
    if (known) this.#labels = [...new Int32Array(data.slice(0, labelBytes).buffer)];
    const memory = this.#makeMemory(Math.max(ROOM, length), settled ? this.#labels : undefined);
    this.#memory.release();
    this.#memory = memory;
    if (queried > 0) this.#queries = this.#makeQueries();
    const parts = [...memory.rows(length), ...this.#queryRows(queried)];
    const expected = parts.reduce((sum, part) => sum + part.length, labelBytes);
    if (data.length !== expected) {
      throw new CacheDataError(`restore: ${data.length} bytes of data, expected ${expected} for ${length} tokens`);
    }
    let from = labelBytes;
    for (const { at, length: bytes } of parts) {
      this.#rt.write(at, data.subarray(from, from + bytes));
      from += bytes;
    }
    this.#length = length;
    this.#queried = queried;
  }
}

/**
 * The cache of one layer by clustered head attention: the queries and keys of its first tokens tell which heads attend alike; from the next
 * call on only the keys of each cluster's first head are kept, with the values of all heads, cluster by cluster, and each cluster has one
 * softmax. Calls until then, a prompt's first among them, attend with every head's own. There are as many query heads as key/value heads.
 * Tokens can be taken back to the first ones that were compared, or to none.
 *
 * Source: CHAI, Agarwal 2024; reference implementation facebookresearch/chai.
 *
 * @throws OptionError for options that do not fit.
 * @throws MemoryLimitError if the first tokens' room does not fit.
 * @example const layer = chaiLayer(rt, size, { clusters: 8, dtype: 'f16' })
 */
export function chaiLayer(rt: Runtime, size: LayerSize, options: ChaiLayerOptions): LayerCache {
  return new ChaiLayer(rt, size, options);
}

/**
 * The layer whose `save` gave `bytes`, made with the same size and options.
 *
 * @throws CacheDataError if the bytes are cut short, changed, or of another layer.
 * @throws OptionError for options that do not fit.
 */
export function restoreChaiLayer(
  rt: Runtime,
  size: LayerSize,
  options: ChaiLayerOptions,
  bytes: Uint8Array,
): LayerCache {
  return ChaiLayer.restore(rt, size, options, bytes);
}
