/**
 * The cache of latent attention.
 *
 * @module
 */
import { expectNames } from '../engines/shapes.ts';
import { groupedLatentAttention, groupedLatentAttentionSync } from '../ops/grouped-latent.ts';
import type { LatentInputs, MlaOptions } from '../ops/mla.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { positive, RowCache, type RowCacheOptions } from './row-cache.ts';

/** Options of a latent cache. */
export interface LatentCacheOptions extends RowCacheOptions {
  /** C: numbers of a latent. */
  readonly latentDim: number;
  /** R: rotated numbers that all heads share. */
  readonly ropeDim: number;
  /** L: latents of a token, one for each group of query heads. Default 1, as in MLA. */
  readonly latentHeads?: number;
}

/** Queries of the newest tokens, and what keys and values are made of latents by; as in `groupedLatentAttention`. */
export type LatentQueries = Pick<LatentInputs, 'qNope' | 'qRope' | 'wUk' | 'wUv'>;

const WHAT = 'LatentCache';

/**
 * The latents and rotated keys of one layer, side by side: L C + R numbers a token, which absorbed attention reads where they lie.
 *
 * Source: DeepSeek-V2 (2024); with several latent heads GLA-2 (Zadouri 2025).
 *
 * @throws OptionError for options that make no sense, MemoryLimitError if the memory does not fit.
 * @example
 * using cache = new LatentCache(rt, { latentDim: 512, ropeDim: 64, capacity: 4096, dtype: 'bf16' })
 * await cache.append({ cKv, kRope })
 * const { o } = await cache.attend({ qNope, qRope, wUk, wUv })
 */
export class LatentCache extends RowCache<'cKv' | 'kRope'> {
  readonly #options: LatentCacheOptions;

  constructor(rt: Runtime, options: LatentCacheOptions) {
    expectNames(WHAT, 'option', options, ['capacity', 'batch', 'dtype', 'latentDim', 'ropeDim', 'latentHeads']);
    const latent = positive(WHAT, 'latentDim', options.latentDim);
    const heads = positive(WHAT, 'latentHeads', options.latentHeads ?? 1);
    super(rt, WHAT, options, {
      cKv: options.latentHeads === undefined ? [latent] : [heads, latent],
      kRope: [positive(WHAT, 'ropeDim', options.ropeDim)],
    });
    this.#options = options;
  }

  #inputs({ qNope, qRope, wUk, wUv }: LatentQueries): LatentInputs {
    const cKv = this.column('cKv');
    const { latentHeads: heads = 1, latentDim } = this.#options;
    const [strideB, strideT] = cKv.strides as [number, number];
    const latents = cKv.restride([this.batch, this.length, heads, latentDim], [strideB, strideT, latentDim, 1]);
    return { qNope, qRope, cKv: latents, kRope: this.column('kRope'), wUk, wUv };
  }

  /**
   * Attention of the newest tokens, which are in the cache, to all of it. Options as in `mla`, but that it is causal by default.
   *
   * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
   */
  async attend(queries: LatentQueries, options: MlaOptions = {}): Promise<{ o: Tensor }> {
    return groupedLatentAttention(this.#inputs(queries), { causal: true, ...options });
  }

  /** As `attend`, to the end before it returns. */
  attendSync(queries: LatentQueries, options: MlaOptions = {}): { o: Tensor } {
    return groupedLatentAttentionSync(this.#inputs(queries), { causal: true, ...options });
  }

  /** A cache of the same tokens with memory of its own. */
  fork(): LatentCache {
    const copy = new LatentCache(this.runtime, this.#options);
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
  static restore(rt: Runtime, bytes: Uint8Array): LatentCache {
    return RowCache.restored(WHAT, bytes, (options: LatentCacheOptions) => new LatentCache(rt, options));
  }
}
