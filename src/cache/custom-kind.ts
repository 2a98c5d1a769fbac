/**
 * Caches whose layers the caller makes.
 *
 * @module
 */
import { expectNames } from '../engines/shapes.ts';
import { OptionError, UnsupportedError } from '../errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { LayerCache, LayerSize } from './layer-cache.ts';
import type { LayerKind } from './layer-kind.ts';

/** Layers of another kind: those that need tensors of their own, as `kvquantPlan` and `loki` do, or the caller's. */
export interface CustomPolicy {
  readonly kind: 'custom';
  create(rt: Runtime, size: LayerSize): LayerCache;
  /** A layer from what its `save` gave. Without it the cache cannot be restored; it is not saved, so `restore` must be given the policy. */
  restore?(rt: Runtime, size: LayerSize, bytes: Uint8Array): LayerCache;
  /** Bytes of a token in one layer. Default: those of keys and values in f32. */
  bytesPerToken?(size: LayerSize): number;
}

export const customKind: LayerKind<CustomPolicy> = {
  kind: 'custom',
  storages: ['f32'],
  check(op, policy) {
    expectNames(`${op}: policy`, 'option', policy, ['kind', 'create', 'restore', 'bytesPerToken']);
    if (typeof policy.create !== 'function') {
      throw new OptionError(`${op}: policy.create is ${typeof policy.create}, expected a function that makes a layer`);
    }
    return policy;
  },
  create: ({ runtime }, size, policy) => policy.create(runtime, size),
  restore({ runtime }, size, policy, bytes) {
    if (policy.restore) return policy.restore(runtime, size, bytes);
    throw new UnsupportedError('KVCache.restore: the custom policy has no restore function');
  },
  bytesPerToken: (size, _, { bytesPerToken }) => bytesPerToken?.(size) ?? 8 * size.kvHeads * size.headDim,
};
