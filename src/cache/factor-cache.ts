/**
 * The cache of tensor product attention.
 *
 * @module
 */
import { expectNames } from '../engines/shapes.ts';
import type { AttentionResult } from '../ops/attention.ts';
import { type TpaInputs, type TpaOptions, tpa, tpaSync } from '../ops/tpa.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { positive, RowCache, type RowCacheOptions } from './row-cache.ts';

/** Options of a cache of factors. */
export interface FactorCacheOptions extends RowCacheOptions {
  readonly heads: number;
  readonly headDim: number;
  /** Default headDim. */
  readonly valueDim?: number;
  /** Ranks of keys and of values. */
  readonly rankK: number;
  readonly rankV: number;
}

/** Queries of the newest tokens, as in `tpa`. */
export type FactorQueries = Pick<TpaInputs, 'q' | 'aQ' | 'bQ'>;

const WHAT = 'FactorCache';
const OPTIONS = ['capacity', 'batch', 'dtype', 'heads', 'headDim', 'valueDim', 'rankK', 'rankV'];

/**
 * The factors of one layer's keys and values: Rk (H + D) + Rv (H + Dv) numbers a token, which attention of few queries reads where they lie.
 *
 * Source: Tensor Product Attention (Zhang 2025).
 *
 * @throws OptionError for options that make no sense, MemoryLimitError if the memory does not fit.
 * @example
 * using cache = new FactorCache(rt, { heads: 32, headDim: 64, rankK: 2, rankV: 2, capacity: 4096 })
 * await cache.append({ aK, bK, aV, bV })
 * const { o } = await cache.attend({ aQ, bQ })
 */
export class FactorCache extends RowCache<'aK' | 'bK' | 'aV' | 'bV'> {
  readonly #options: FactorCacheOptions;

  constructor(rt: Runtime, options: FactorCacheOptions) {
    expectNames(WHAT, 'option', options, OPTIONS);
    const [heads, headDim] = [positive(WHAT, 'heads', options.heads), positive(WHAT, 'headDim', options.headDim)];
    const valueDim = positive(WHAT, 'valueDim', options.valueDim ?? headDim);
    const [rankK, rankV] = [positive(WHAT, 'rankK', options.rankK), positive(WHAT, 'rankV', options.rankV)];
    super(rt, WHAT, options, { aK: [rankK, heads], bK: [rankK, headDim], aV: [rankV, heads], bV: [rankV, valueDim] });
    this.#options = options;
  }

  #inputs(queries: FactorQueries): TpaInputs {
    const [aK, bK] = [this.column('aK'), this.column('bK')];
    return { ...queries, aK, bK, aV: this.column('aV'), bV: this.column('bV') };
  }

  /**
   * Attention of the newest tokens, which are in the cache, to all of it. Options as in `tpa`, but that it is causal by default.
   *
   * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
   */
  async attend(queries: FactorQueries, options: TpaOptions = {}): Promise<AttentionResult> {
    return tpa(this.#inputs(queries), { causal: true, ...options });
  }

  /** As `attend`, to the end before it returns. */
  attendSync(queries: FactorQueries, options: TpaOptions = {}): AttentionResult {
    return tpaSync(this.#inputs(queries), { causal: true, ...options });
  }

  /** A cache of the same tokens with memory of its own. */
  fork(): FactorCache {
    const copy = new FactorCache(this.runtime, this.#options);
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
  static restore(rt: Runtime, bytes: Uint8Array): FactorCache {
    return RowCache.restored(WHAT, bytes, (options: FactorCacheOptions) => new FactorCache(rt, options));
  }
}
