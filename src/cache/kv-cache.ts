/**
 * The keys and values of a sequence in all layers of a network.
 *
 * @module
 */
import { MOST_DIM } from '../engines/attention-call.ts';
import { copyRows } from '../engines/copy.ts';
import { expectNames, expectRows, expectTypes, finite, flag, matchShapes, whole } from '../engines/shapes.ts';
import { expectTarget } from '../engines/step.ts';
import {
  BusyError,
  CacheDataError,
  CacheStateError,
  DisposedError,
  HostAccessError,
  OptionError,
  RuntimeMismatchError,
  ShapeError,
  UnsupportedError,
  WattnError,
} from '../errors.ts';
import { type Builder, run, runSync, runtimeOf } from '../runtime/program.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { Workspace } from '../runtime/workspace.ts';
import type { Tensor } from '../tensor.ts';
import { liveBytes, type ReadBytes, savedFrom } from './host-memory.ts';
import type { LayerCache, LayerSize } from './layer-cache.ts';
import type { CacheSize, LayerHost } from './layer-kind.ts';
import { type CachePolicy, type CacheType, layerKind } from './layer-kinds.ts';
import { PagePool, type PageType } from './page-pool.ts';
import { SavedReader, SavedWriter, sealed, unsealed } from './saved.ts';

/** Options of a cache. */
export interface KVCacheOptions {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Most tokens that later queries see at a time. */
  readonly capacity: number;
  /** How keys and values are kept; int8 with a scale per token and head. Default: the pool's, or 'f32'. */
  readonly dtype?: CacheType;
  /** Tokens of a page. Default: the pool's, or 64, or the capacity where that is less. */
  readonly pageSize?: number;
  /** Which keys are kept. Default 'full': all. */
  readonly policy?: 'full' | CachePolicy;
  /**
   * Keep keys less the first one of the sequence, which changes no result but what rounding costs: where keys have much in common, as
   * channels that are always large, int8 misses them by less. Not with softcap or a policy's rope. Default false.
   */
  readonly smoothKeys?: boolean;
  /** Pages to share with other caches. Default: a pool of the cache's own, with room for `capacity` tokens, that its forks share. */
  readonly pool?: PagePool;
}

/** What a restored cache is asked to be; what is left out is as it was saved. */
export type RestoreOptions = Partial<KVCacheOptions>;

/** Keys and values of new tokens. */
export interface CacheRows {
  /** f32 [1, T, Hkv, D] */
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Queries of the newest tokens. */
export interface CacheQueries {
  /** f32 [1, T, Hq, D], Hq a multiple of Hkv */
  readonly q: Tensor;
  /** f32 [1, T, Hq, D] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

/** Options of `attend` and `extend`. */
export interface CacheAttendOptions {
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Scores become softcap * tanh(score / softcap). Default: none. */
  readonly softcap?: number;
}

/** What is settled of the options: plain numbers and words, which `save` writes. */
interface Settings extends CacheSize {
  readonly dtype: CacheType;
  readonly pageSize: number;
  readonly smoothKeys: boolean;
  readonly policy: CachePolicy;
}

/** A pool, and how many caches it ends with if it is their own. */
interface PoolHold {
  pool: PagePool | undefined;
  readonly own: boolean;
  caches: number;
}

const OP = 'KVCache';
/** Calls of more tokens give their temporaries back: those of a long prompt are of no use to the tokens after it. */
const MOST_KEPT_TOKENS = 16;
const OPTIONS = ['layers', 'kvHeads', 'headDim', 'capacity', 'dtype', 'pageSize', 'smoothKeys', 'policy', 'pool'];

/** Checks options. @throws OptionError, UnsupportedError, RuntimeMismatchError */
function settle(rt: Runtime, options: KVCacheOptions): Settings {
  expectNames(OP, 'option', options, OPTIONS);
  const { pool, policy = 'full', dtype = pool?.dtype ?? 'f32' } = options;
  const needed = (name: 'layers' | 'kvHeads' | 'headDim' | 'capacity', most?: number) => {
    if (options[name] === undefined) throw new OptionError(`${OP}: ${name} is missing, expected a whole number >= 1`);
    return whole(OP, name, options[name], 1, 1, most);
  };
  const size = {
    layers: needed('layers', 65536),
    kvHeads: needed('kvHeads', 65536),
    headDim: needed('headDim', MOST_DIM),
    capacity: needed('capacity'),
  };
  const pageSize = whole(OP, 'pageSize', options.pageSize, pool?.pageSize ?? Math.min(64, size.capacity), 1, 4096);
  if (policy === null || (typeof policy !== 'object' && policy !== 'full')) {
    throw new OptionError(`${OP}: policy is ${JSON.stringify(policy)}, expected 'full' or { kind, ... }`);
  }
  const given: CachePolicy = policy === 'full' ? { kind: 'full' } : policy;
  const kind = layerKind(OP, given.kind, dtype);
  const checked = kind.check(OP, given, size) as CachePolicy;
  const smoothKeys = flag(OP, 'smoothKeys', options.smoothKeys);
  if (smoothKeys && !kind.smooths) throw new UnsupportedError(`${OP}: policy '${given.kind}' has no smoothKeys`);
  if (smoothKeys && 'rope' in checked) {
    throw new OptionError(`${OP}: smoothKeys does not go with a policy's rope, which turns sinks and other keys apart`);
  }
  const settings = { ...size, dtype, pageSize, smoothKeys, policy: checked };
  if (pool) {
    if (!(pool instanceof PagePool)) throw new OptionError(`${OP}: pool is ${pool}, expected a PagePool`);
    pool.check();
    if (!kind.paged) {
      throw new OptionError(`${OP}: policy '${given.kind}' in ${dtype} takes no pages. Make the cache without a pool.`);
    }
    if (pool.runtime !== rt) throw new RuntimeMismatchError(`${OP}: the pool belongs to another runtime`);
    for (const name of ['headDim', 'dtype', 'pageSize'] as const) {
      if (pool[name] !== settings[name]) {
        throw new OptionError(`${OP}: ${name} is ${settings[name]}, but the pool was made for ${pool[name]}`);
      }
    }
  }
  return settings;
}

/** Where layers of a cache are made. */
function hostOf(runtime: Runtime, { dtype, pageSize, headDim, smoothKeys }: Settings, hold: PoolHold): LayerHost {
  return {
    runtime,
    dtype,
    pageSize,
    smoothKeys,
    pool(pages) {
      // only kinds that keep page types ask
      hold.pool ??= new PagePool(runtime, { pages, headDim, dtype: dtype as PageType, pageSize });
      return hold.pool;
    },
  };
}

/** Makes the layers; if one cannot be made, none stays. */
function makeLayers(count: number, hold: PoolHold, make: (layer: number) => LayerCache): LayerCache[] {
  const layers: LayerCache[] = [];
  try {
    for (let layer = 0; layer < count; ++layer) layers.push(make(layer));
    return layers;
  } catch (error) {
    for (const layer of layers) layer.dispose();
    if (hold.own && hold.caches === 0) hold.pool?.dispose();
    throw error;
  }
}

/** What a call lays out: programs, run one after another; each ends with what `commit` notes. */
interface Call<R> {
  readonly layer: LayerCache;
  readonly tokens: number;
  readonly inputs: object;
  readonly programs: readonly ((b: Builder, commits: (() => void)[]) => R)[];
}

/**
 * Keys and values of one sequence, layer by layer, with attention over them.
 *
 * All layers get the same tokens, in any order; tokens count once all layers have them. Pages are taken when the cache is made: with `o`
 * given, a token in pages takes no memory, but for the partial results of each further run of keys; layers of other kinds may grow. Calls of
 * a cache wait for each other; what changes it at once (`fork`, `truncate`, `save`, ...) throws BusyError while one is in flight.
 *
 * Source: PagedAttention (Kwon 2023), StreamingLLM (Xiao 2023), DuoAttention (Xiao 2024), KIVI (Liu 2024); of other policies where they
 * are defined.
 *
 * @throws OptionError, UnsupportedError for options that make no sense, MemoryLimitError if the pages do not fit.
 * @example
 * using cache = new KVCache(rt, { layers: 12, kvHeads: 4, headDim: 64, capacity: 4096, dtype: 'int8' })
 * const { o } = await cache.extend(layer, { q, k, v })
 */
export class KVCache {
  readonly runtime: Runtime;
  readonly #settings: Settings;
  readonly #hold: PoolHold;
  readonly #layers: LayerCache[];
  readonly #workspace: Workspace;
  #disposed = false;
  /** Calls in flight, and the end of the last one. */
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, options: KVCacheOptions, made?: { hold: PoolHold; layers: LayerCache[] }) {
    this.runtime = runtime;
    this.#settings = settle(runtime, options);
    this.#hold = made?.hold ?? { pool: options.pool, own: !options.pool, caches: 0 };
    const settings = this.#settings;
    this.#layers =
      made?.layers ??
      makeLayers(settings.layers, this.#hold, (layer) =>
        layerKind(OP, settings.policy.kind, settings.dtype).create(
          hostOf(runtime, settings, this.#hold),
          sizeOf(settings, layer),
          settings.policy,
        ),
      );
    this.#hold.caches += 1;
    this.#workspace = new Workspace(runtime);
  }

  get layers(): number {
    return this.#settings.layers;
  }

  get kvHeads(): number {
    return this.#settings.kvHeads;
  }

  get headDim(): number {
    return this.#settings.headDim;
  }

  get capacity(): number {
    return this.#settings.capacity;
  }

  get dtype(): CacheType {
    return this.#settings.dtype;
  }

  get pageSize(): number {
    return this.#settings.pageSize;
  }

  get smoothKeys(): boolean {
    return this.#settings.smoothKeys;
  }

  /** The policy with its defaults. */
  get policy(): CachePolicy {
    return this.#settings.policy;
  }

  /** The pages that it takes from, if it has such. */
  get pool(): PagePool | undefined {
    return this.#hold.pool;
  }

  /** Tokens that all layers have been given, those let go of included. */
  get length(): number {
    return Math.min(...this.#layers.map(({ length }) => length));
  }

  /** Tokens that are held: of the layer and head that hold most. */
  get held(): number {
    return Math.max(...this.#layers.map(({ held }) => held));
  }

  /** Bytes in use: pages, those shared with forks included, and tables. */
  get bytes(): number {
    return this.#layers.reduce((n, { bytes }) => n + bytes, 0);
  }

  /** Bytes of a token in all layers, scales included. */
  get bytesPerToken(): number {
    const settings = this.#settings;
    const kind = layerKind(OP, settings.policy.kind, settings.dtype);
    return this.#layers.reduce(
      (n, _, layer) => n + kind.bytesPerToken(sizeOf(settings, layer), settings.dtype, settings.policy),
      0,
    );
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * Makes room for `count` more tokens in all layers, so that their appends will find it.
   *
   * @throws CacheFullError if there is none; the cache is then as before. OptionError, BusyError, DisposedError.
   */
  reserve(count: number): void {
    this.#idle('reserve');
    whole(`${OP}.reserve`, 'count', count, 0, 0);
    const { length } = this;
    try {
      for (const layer of this.#layers) layer.reserve(Math.max(0, length + count - layer.length));
    } catch (error) {
      for (const layer of this.#layers) layer.release?.();
      throw error;
    }
  }

  /**
   * Puts keys and values of new tokens in.
   *
   * Shapes: k, v f32 [1, T, Hkv, D].
   *
   * @throws CacheFullError if there is no room; the cache is then as before.
   * @throws CacheStateError if other layers have yet to get the tokens before, or another number of them.
   * @throws OptionError, ShapeError, DTypeError, RuntimeMismatchError, DisposedError for operands that do not fit.
   * @example await cache.append(layer, { k, v })
   */
  async append(layer: number, inputs: CacheRows): Promise<void> {
    await this.#run('append', () => this.#appendCall(layer, inputs));
  }

  /** As `append`, to the end before it returns. */
  appendSync(layer: number, inputs: CacheRows): void {
    this.#runSync('append', () => this.#appendCall(layer, inputs));
  }

  /**
   * Attention of the newest tokens, causal among them, to all keys of the layer that the policy shows.
   *
   * Shapes: q f32 [1, T, Hq, D], Hq a multiple of Hkv -> o f32 [1, T, Hq, D]. The tokens' keys and values are in the layer.
   *
   * @throws OptionError, ShapeError, DTypeError, RuntimeMismatchError, DisposedError for operands that do not fit.
   * @example const { o } = await cache.attend(layer, { q })
   */
  attend(layer: number, inputs: CacheQueries, options: CacheAttendOptions = {}): Promise<{ o: Tensor }> {
    return this.#run('attend', () => this.#attendCall(layer, inputs, options)) as Promise<{ o: Tensor }>;
  }

  /** As `attend`, to the end before it returns. */
  attendSync(layer: number, inputs: CacheQueries, options: CacheAttendOptions = {}): { o: Tensor } {
    return this.#runSync('attend', () => this.#attendCall(layer, inputs, options)) as { o: Tensor };
  }

  /**
   * `append` and `attend` of the same tokens in one call.
   *
   * Shapes: q f32 [1, T, Hq, D], k, v f32 [1, T, Hkv, D] -> o f32 [1, T, Hq, D].
   *
   * @throws as `append` and `attend`; the cache is then as before.
   * @example const { o } = await cache.extend(layer, { q, k, v })
   */
  extend(layer: number, inputs: CacheRows & CacheQueries, options: CacheAttendOptions = {}): Promise<{ o: Tensor }> {
    return this.#run('extend', () => this.#extendCall(layer, inputs, options)) as Promise<{ o: Tensor }>;
  }

  /** As `extend`, to the end before it returns. */
  extendSync(layer: number, inputs: CacheRows & CacheQueries, options: CacheAttendOptions = {}): { o: Tensor } {
    return this.#runSync('extend', () => this.#extendCall(layer, inputs, options)) as { o: Tensor };
  }

  /**
   * A cache of the same tokens that goes on by itself. Pages are shared until one of the two writes to them: of the pages that have
   * tokens only the last one, if it is not full, is ever copied.
   *
   * @throws CacheStateError if some layers have tokens that others have not. BusyError, DisposedError.
   * @example using draft = cache.fork()
   */
  fork(): KVCache {
    this.#idle('fork');
    this.#even('fork');
    const hold = this.#hold;
    const layers = makeLayers(this.layers, hold, (layer) => this.#layers[layer]!.fork());
    const { own, pool } = hold;
    return new KVCache(this.runtime, { ...this.#settings, ...(!own && pool && { pool }) }, { hold, layers });
  }

  /**
   * Forgets all tokens from `length` on, in every layer, also those that only some layers have got. What the last append brought can
   * always be taken back; further back a policy may have let go of what would be seen.
   *
   * @throws OptionError if there are not so many tokens, or the policy has let go of what the next query would see.
   * @throws BusyError, DisposedError
   * @example cache.truncate(cache.length - refused)
   */
  truncate(length: number): void {
    this.#idle('truncate');
    const most = this.length;
    const least = Math.max(0, ...this.#layers.map(({ shortest = 0 }) => shortest));
    if (!Number.isInteger(length) || length < least || length > most) {
      const why = least > 0 ? `: what a query at ${least - 1} sees has been let go of` : '';
      throw new OptionError(
        `${OP}.truncate: length is ${length}, expected a whole number from ${least} to ${most}${why}`,
      );
    }
    for (const layer of this.#layers) layer.truncate(length);
  }

  /** Forgets all tokens. @throws BusyError, DisposedError */
  clear(): void {
    this.#idle('clear');
    const { policy, dtype } = this.#settings;
    for (const [i, layer] of this.#layers.entries()) {
      if (layer.clear) {
        layer.clear();
      } else {
        const host = hostOf(this.runtime, this.#settings, this.#hold);
        this.#layers[i] = layerKind(OP, policy.kind, dtype).create(host, sizeOf(this.#settings, i), policy);
        layer.dispose();
      }
    }
  }

  /**
   * The cache as bytes: sizes, policy, keys and values in their storage, and a checksum. Of a window what the next query sees is saved.
   *
   * @throws CacheStateError if some layers have tokens that others have not. BusyError, DisposedError.
   * @throws HostAccessError on a GPU, whose memory is read by waiting: use `saveAsync`.
   * @example await writeFile('prefix.wkvc', cache.save())
   */
  save(): Uint8Array {
    this.#idle('save');
    this.#even('save');
    if (this.runtime.backend === 'webgpu') {
      throw new HostAccessError(`${OP}.save: keys and values lie on the GPU. Use await saveAsync().`);
    }
    return this.#bytes(liveBytes(this.runtime));
  }

  /**
   * As `save`, on any backend, after the calls of the cache that are in flight; the bytes are the same, and may be restored on another one.
   *
   * @throws CacheStateError if some layers have tokens that others have not. DisposedError, DeviceLostError.
   * @example await writeFile('prefix.wkvc', await cache.saveAsync())
   */
  saveAsync(): Promise<Uint8Array> {
    return this.#inTurn('saveAsync', () => {
      this.#even('saveAsync');
      return savedFrom(this.runtime, (read) => this.#bytes(read));
    });
  }

  #bytes(read: ReadBytes): Uint8Array {
    const writer = new SavedWriter();
    writer.block(new TextEncoder().encode(JSON.stringify(this.#settings)));
    for (const layer of this.#layers) writer.block(layer.save(read));
    return sealed(writer.bytes());
  }

  /**
   * A cache from what `save` gave. On an error nothing stays in memory.
   *
   * @param expected what the cache must be; `capacity` and `pageSize` may be others than those saved, and `pool` is taken from.
   * @throws CacheDataError if the bytes are cut, changed, or of a cache that is not as expected.
   * @throws CacheFullError, MemoryLimitError if there is no room; OptionError for what is expected.
   * @example using cache = KVCache.restore(rt, await readFile('prefix.wkvc'))
   */
  static restore(rt: Runtime, bytes: Uint8Array, expected: RestoreOptions = {}): KVCache {
    const op = `${OP}.restore`;
    expectNames(op, 'option', expected, OPTIONS);
    const reader = new SavedReader(unsealed(bytes));
    const { pool } = expected;
    const words = asData(op, () => JSON.parse(new TextDecoder().decode(reader.block('settings'))) as KVCacheOptions);
    // functions are not saved
    const { policy } = expected;
    const isGiven = typeof policy === 'object' && policy.kind === 'custom';
    const saved = asData(op, () => settle(rt, isGiven ? { ...words, policy } : words));
    const { pageSize = pool?.pageSize ?? saved.pageSize, capacity = saved.capacity } = expected;
    const options = { ...saved, ...expected, pageSize, capacity };
    const settings = settle(rt, { ...options, ...(pool && { dtype: expected.dtype ?? pool.dtype }) });
    for (const name of ['layers', 'kvHeads', 'headDim', 'dtype', 'smoothKeys', 'policy'] as const) {
      const [was, wanted] = [words[name], settings[name]].map((value) => JSON.stringify(value));
      if (was !== wanted) throw new CacheDataError(`${op}: ${name} of the saved cache is ${was}, expected ${wanted}`);
    }
    const parts = asData(op, () => {
      const blocks = Array.from({ length: settings.layers }, (_, layer) => reader.block(`layer ${layer}`));
      reader.end();
      return blocks;
    });
    const hold: PoolHold = { pool, own: !pool, caches: 0 };
    const kind = layerKind(op, settings.policy.kind, settings.dtype);
    const host = hostOf(rt, settings, hold);
    const layers = makeLayers(settings.layers, hold, (layer) =>
      asData(op, () => kind.restore(host, sizeOf(settings, layer), settings.policy, parts[layer]!)),
    );
    const cache = new KVCache(rt, { ...settings, ...(pool && { pool }) }, { hold, layers });
    if (layers.every(({ length }) => length === layers[0]!.length)) return cache;
    cache.dispose();
    throw new CacheDataError(`${op}: the saved layers have different numbers of tokens`);
  }

  /** Gives pages and tables back, once a call in flight has ended; a pool of its own goes with the last of its forks. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting === 0) this.#free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #free(): void {
    for (const layer of this.#layers) layer.dispose();
    this.#workspace.dispose();
    this.#hold.caches -= 1;
    if (this.#hold.own && this.#hold.caches === 0) this.#hold.pool?.dispose();
  }

  #check(what: string): void {
    if (this.#disposed) throw new DisposedError(`${OP}.${what}: this cache was disposed; make another one`);
    this.#hold.pool?.check();
  }

  #idle(what: string): void {
    this.#check(what);
    if (this.#waiting > 0) {
      throw new BusyError(`${OP}.${what}: a call of this cache is in flight; await it first`);
    }
  }

  /** @throws CacheStateError if the layers have different numbers of tokens. */
  #even(what: string): void {
    const lengths = this.#layers.map(({ length }) => length);
    const odd = lengths.findIndex((length) => length !== lengths[0]);
    if (odd < 0) return;
    throw new CacheStateError(
      `${OP}.${what}: layer 0 has ${lengths[0]} tokens and layer ${odd} has ${lengths[odd]}. ` +
        'Append to every layer first, or go back with truncate(cache.length).',
    );
  }

  #layer(op: string, layer: number): LayerCache {
    const found = Number.isInteger(layer) ? this.#layers[layer] : undefined;
    if (!found) throw new OptionError(`${op}: layer is ${layer}, expected a whole number from 0 to ${this.layers - 1}`);
    return found;
  }

  /** @throws RuntimeMismatchError, DisposedError, ShapeError, DTypeError if a tensor does not fit. */
  #expect(op: string, inputs: object, shapes: Readonly<Record<string, string>>, known: readonly string[]): void {
    expectNames(op, 'input', inputs, known);
    const tensors = inputs as Readonly<Record<string, Tensor | undefined>>;
    matchShapes(op, tensors, shapes);
    if (runtimeOf(op, inputs) !== this.runtime) {
      throw new RuntimeMismatchError(`${op}: the tensors belong to another runtime than the cache`);
    }
    const given = Object.fromEntries(Object.keys(shapes).map((name) => [name, tensors[name]]));
    expectTypes(op, given, ['f32']);
    expectRows(op, given);
  }

  /** @throws CacheStateError if layer `index` may not get T tokens now. */
  #expectTurn(op: string, index: number, T: number): void {
    const lengths = this.#layers.map(({ length }) => length);
    const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
    const own = lengths[index]!;
    if (least === most || (own === least && own + T === most)) return;
    const behind = lengths.indexOf(least);
    throw new CacheStateError(
      `${op}: layer ${index} has ${own} tokens and would get ${T}, while layer ${behind} has ${least} and others ${most}. ` +
        'Append the same tokens to every layer, or go back with truncate(cache.length).',
    );
  }

  #appendCall(index: number, inputs: CacheRows): Call<undefined> {
    const op = `${OP}.append`;
    const layer = this.#layer(op, index);
    const { kvHeads, headDim } = this.#settings;
    const rows = `1 T ${kvHeads} ${headDim}`;
    this.#expect(op, inputs, { k: rows, v: rows }, ['k', 'v']);
    this.#expectTurn(op, index, inputs.k.shape[1]!);
    const tokens = inputs.k.shape[1]!;
    layer.reserve(tokens);
    return { layer, tokens, inputs, programs: [(b, commits) => layAppend(b, layer, inputs, commits)] };
  }

  #attendCall(index: number, inputs: CacheQueries, options: CacheAttendOptions): Call<{ o: Tensor }> {
    const op = `${OP}.attend`;
    const layer = this.#layer(op, index);
    this.#expect(op, inputs, { q: `1 T Hq ${this.headDim}` }, ['q', 'o']);
    const attend = this.#attendProgram(op, layer, inputs, options);
    const tokens = inputs.q.shape[1]!;
    if (tokens > layer.length) {
      throw new ShapeError(
        `${op}: q has ${tokens} tokens, layer ${index} holds ${layer.length}. Append their keys first.`,
      );
    }
    return { layer, tokens, inputs, programs: [attend] };
  }

  #extendCall(index: number, inputs: CacheRows & CacheQueries, options: CacheAttendOptions): Call<{ o: Tensor }> {
    const op = `${OP}.extend`;
    const layer = this.#layer(op, index);
    const { kvHeads, headDim } = this.#settings;
    const rows = `1 T ${kvHeads} ${headDim}`;
    this.#expect(op, inputs, { k: rows, v: rows, q: `1 T Hq ${headDim}` }, ['q', 'k', 'v', 'o']);
    const attend = this.#attendProgram(op, layer, inputs, options);
    const tokens = inputs.k.shape[1]!;
    this.#expectTurn(op, index, tokens);
    layer.reserve(tokens);
    const append = (b: Builder, commits: (() => void)[]) => layAppend(b, layer, inputs, commits);
    if (!layer.joined) return { layer, tokens, inputs, programs: [append as never, attend] };
    const both = (b: Builder, commits: (() => void)[]) => {
      append(b, commits);
      return attend(b, commits);
    };
    return { layer, tokens, inputs, programs: [both] };
  }

  /** Checks queries and options, and lays attention out. */
  #attendProgram(op: string, layer: LayerCache, inputs: CacheQueries, options: CacheAttendOptions) {
    expectNames(op, 'option', options, ['scale', 'softcap']);
    const { kvHeads, headDim } = this.#settings;
    const { q, o } = inputs;
    const heads = q.shape[2]!;
    if (heads === 0 || heads % kvHeads !== 0) {
      throw new ShapeError(`${op}: ${heads} query heads cannot share ${kvHeads} key/value heads: expected a multiple`);
    }
    if (o) expectTarget(op, o, q.shape, { ...inputs });
    const scale = finite(op, 'scale', options.scale, headDim ** -0.5);
    const softcap = finite(op, 'softcap', options.softcap, 0, 0);
    if (softcap > 0 && this.#settings.smoothKeys) {
      throw new OptionError(`${op}: softcap needs the keys themselves. Make the cache without smoothKeys.`);
    }
    return (b: Builder, commits: (() => void)[]) => {
      const result = layer.attend(b, { q, scale, softcap, o });
      if (result.commit) commits.push(() => result.commit!());
      if (o && result.o !== o) {
        copyRows(b, result.o, o);
        b.drop(result.o);
      }
      return { o: o ?? result.o };
    };
  }

  /** Does something after the calls of the cache that are in flight. */
  async #inTurn<R>(what: string, body: () => Promise<R>): Promise<R> {
    this.#check(what);
    const before = this.#last;
    let leave = () => {};
    this.#last = new Promise((resolve) => {
      leave = resolve;
    });
    this.#waiting += 1;
    try {
      if (this.#waiting > 1) {
        await before;
        this.#check(what);
      }
      return await body();
    } finally {
      this.#waiting -= 1;
      if (this.#disposed && this.#waiting === 0) this.#free();
      leave();
    }
  }

  /** Lays a call out and runs it, after those of the cache that are in flight. */
  #run<R>(what: string, lay: () => Call<R>): Promise<R> {
    return this.#inTurn(what, async () => {
      const { layer, tokens, inputs, programs } = lay();
      const { length } = layer;
      const workspace = tokens <= MOST_KEPT_TOKENS ? this.#workspace : undefined;
      try {
        let result!: R;
        for (const program of programs) {
          const commits: (() => void)[] = [];
          result = await run(`${OP}.${what}`, inputs, (b) => program(b, commits), workspace);
          for (const commit of commits) commit();
        }
        return result;
      } catch (error) {
        goBack(layer, length);
        throw error;
      }
    });
  }

  #runSync<R>(what: string, lay: () => Call<R>): R {
    this.#idle(what);
    const { layer, tokens, inputs, programs } = lay();
    const { length } = layer;
    const workspace = tokens <= MOST_KEPT_TOKENS ? this.#workspace : undefined;
    try {
      let result!: R;
      for (const program of programs) {
        const commits: (() => void)[] = [];
        result = runSync(`${OP}.${what}`, inputs, (b) => program(b, commits), workspace);
        for (const commit of commits) commit();
      }
      return result;
    } catch (error) {
      goBack(layer, length);
      throw error;
    }
  }
}

/** Undoes what a failed call has done to a layer. */
function goBack(layer: LayerCache, length: number): void {
  if (layer.length > length) layer.truncate(length);
  layer.release?.();
}

function sizeOf({ layers, kvHeads, headDim, capacity }: CacheSize, layer: number): LayerSize {
  return { layer, layers, kvHeads, headDim, capacity };
}

function layAppend(b: Builder, layer: LayerCache, { k, v }: CacheRows, commits: (() => void)[]): undefined {
  const { commit } = layer.append(b, k, v);
  commits.push(commit);
}

/** Runs what reads saved bytes: whatever they make fail is their fault, but for room. */
function asData<R>(op: string, read: () => R): R {
  try {
    return read();
  } catch (error) {
    if (error instanceof WattnError && !(error instanceof OptionError || error instanceof CacheDataError)) throw error;
    throw new CacheDataError(`${op}: ${(error as Error).message}`, { cause: error });
  }
}
