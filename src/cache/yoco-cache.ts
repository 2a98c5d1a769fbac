/**
 * One cache for many layers.
 *
 * @module
 */
import { expectNames } from '../engines/shapes.ts';
import { type AttentionOptions, type AttentionResult, attention, attentionSync } from '../ops/attention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { positive, RowCache, type RowCacheOptions } from './row-cache.ts';

/** Options of a shared cache. */
export interface YocoCacheOptions extends RowCacheOptions {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Default headDim. */
  readonly valueDim?: number;
}

const WHAT = 'YocoCache';

/**
 * The one cache of a network that caches once (YOCO): the lower half of its layers (windows, `retention`, `gla` ...) makes keys and values, which
 * are put in once for each token, and every layer of the upper half attends to them with queries of its own. 2 Hkv D numbers a token in
 * all, not for each layer. A prompt needs the upper layers for its last token only.
 *
 * Source: You Only Cache Once (Sun 2024); reference implementation microsoft/unilm, YOCO.
 *
 * @throws OptionError for options that make no sense, MemoryLimitError if the memory does not fit.
 * @example
 * using cache = new YocoCache(rt, { kvHeads: 4, headDim: 64, capacity: 4096 })
 * await cache.append({ k, v })
 * const { o } = await cache.attend({ q })
 */
export class YocoCache extends RowCache<'k' | 'v'> {
  readonly #options: YocoCacheOptions;

  constructor(rt: Runtime, options: YocoCacheOptions) {
    expectNames(WHAT, 'option', options, ['capacity', 'batch', 'dtype', 'kvHeads', 'headDim', 'valueDim']);
    const [heads, headDim] = [positive(WHAT, 'kvHeads', options.kvHeads), positive(WHAT, 'headDim', options.headDim)];
    super(rt, WHAT, options, {
      k: [heads, headDim],
      v: [heads, positive(WHAT, 'valueDim', options.valueDim ?? headDim)],
    });
    this.#options = options;
  }

  /**
   * Attention of an upper layer's queries [B, T, Hq, D] of the newest tokens, which are in the cache, to all of it. Options as in `attention`,
   * but that it is causal by default.
   *
   * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
   */
  async attend({ q }: { readonly q: Tensor }, options: AttentionOptions = {}): Promise<AttentionResult> {
    return attention({ q, k: this.column('k'), v: this.column('v') }, { causal: true, ...options });
  }

  /** As `attend`, to the end before it returns. */
  attendSync({ q }: { readonly q: Tensor }, options: AttentionOptions = {}): AttentionResult {
    return attentionSync({ q, k: this.column('k'), v: this.column('v') }, { causal: true, ...options });
  }

  /** A cache of the same tokens with memory of its own. */
  fork(): YocoCache {
    const copy = new YocoCache(this.runtime, this.#options);
    copy.take(this);
    return copy;
  }

  /** All that `restore` needs. @throws HostAccessError on a GPU: use `saveAsync`. */
  save(): Uint8Array {
    return this.saved(this.#options);
  }

  /** As `save`, on any backend. @throws BusyError while an append is in flight. */
  saveAsync(): Promise<Uint8Array> {
    return this.savedAsync(this.#options);
  }

  /** The cache that was saved. @throws CacheDataError if the bytes are cut, changed, or those of another cache. */
  static restore(rt: Runtime, bytes: Uint8Array): YocoCache {
    return RowCache.restored(WHAT, bytes, (options: YocoCacheOptions) => new YocoCache(rt, options));
  }
}
