/**
 * What a KVCache knows of a kind of layer: a policy, and the storages that it goes with.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';
import type { LayerCache, LayerSize } from './layer-cache.ts';
import type { CacheType } from './layer-kinds.ts';
import type { PagePool } from './page-pool.ts';

/** Sizes that all layers share. */
export type CacheSize = Omit<LayerSize, 'layer'>;

/** What the layers of a cache have in common. */
export interface LayerHost {
  readonly runtime: Runtime;
  readonly dtype: CacheType;
  readonly pageSize: number;
  /** Whether keys are kept less the first one. */
  readonly smoothKeys: boolean;
  /** The pool that layers take pages from: the one given, or one of `pages` pages that is made when the first layer asks. */
  pool(pages: number): PagePool;
}

/** A kind of layer. */
export interface LayerKind<P> {
  readonly kind: string;
  readonly storages: readonly CacheType[];
  /** Whether its layers take pages of a pool. */
  readonly paged?: boolean;
  /** Whether its layers know `smoothKeys`. */
  readonly smooths?: boolean;
  /** The policy as plain data, defaults filled in. @throws OptionError where it makes no sense. */
  check(op: string, policy: P, size: CacheSize): { readonly kind: string };
  create(host: LayerHost, size: LayerSize, policy: P): LayerCache;
  /** A layer from what its `save` gave; on an error nothing stays. @throws CacheDataError if the bytes are not such. */
  restore(host: LayerHost, size: LayerSize, policy: P, bytes: Uint8Array): LayerCache;
  /** Bytes of a token in one layer that keeps it whole. */
  bytesPerToken(size: LayerSize, dtype: CacheType, policy: P): number;
}
