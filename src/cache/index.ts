/**
 * Caches of keys and values: paged, quantised, evicting, choosing, compact.
 *
 * @module wattn/cache
 */

export type { SignatureNet } from '../engines/select/hamming.ts';
export type { VotePooling } from '../engines/window-votes.ts';
export { calibrateKeys, fitCodebook } from './calibrate.ts';
export { type ChaiLayerOptions, chaiLayer, restoreChaiLayer } from './chai-layer.ts';
export type { QuestPolicy, SparqPolicy } from './choosing-kinds.ts';
export { choosingLayer, restoreChoosingLayer } from './choosing-layer.ts';
export type { CodeType } from './code-kinds.ts';
export { codeLayer, restoreCodeLayer } from './code-layer.ts';
export {
  type CodePlan,
  int4Plan,
  type KeyCalibration,
  kiviPlan,
  kvquantPlan,
  type SidePlan,
} from './code-plan.ts';
export type { CustomPolicy } from './custom-kind.ts';
export { FactorCache, type FactorCacheOptions, type FactorQueries } from './factor-cache.ts';
export type { ByteRun, ReadBytes } from './host-memory.ts';
export {
  type CacheAttendOptions,
  type CacheQueries,
  type CacheRows,
  KVCache,
  type KVCacheOptions,
  type RestoreOptions,
} from './kv-cache.ts';
export { LatentCache, type LatentCacheOptions, type LatentQueries } from './latent-cache.ts';
export type { LayerCache, LayerQuery, LayerSize } from './layer-cache.ts';
export type { CachePolicy, CacheType } from './layer-kinds.ts';
export { PagePool, type PagePoolOptions, type PageType } from './page-pool.ts';
export type { DuoPolicy, FullPolicy, StreamingPolicy, WindowPolicy } from './paged-kinds.ts';
export type { SlotRope } from './paged-layer.ts';
export type { RowCache, RowCacheOptions, RowType } from './row-cache.ts';
export type { ChoosingPolicy } from './side-tables.ts';
export type { ChaiPolicy } from './slot-kinds.ts';
export {
  restoreSlotLayer,
  type SlotLayerOptions,
  type SlotPolicy,
  type SlotType,
  slotLayer,
} from './slot-layer.ts';
export { YocoCache, type YocoCacheOptions } from './yoco-cache.ts';
