/**
 * Policies of caches that let tokens go by attention weights.
 *
 * @module
 */
import { bytesOf } from '../tensor.ts';
import { type ChaiLayerOptions, chaiLayer, checkChai, restoreChaiLayer } from './chai-layer.ts';
import type { LayerHost, LayerKind } from './layer-kind.ts';
import type { CacheType } from './layer-kinds.ts';
import { type SlotPolicy, type SlotType, slotLayerMaker } from './slot-layer.ts';

/** Heads that attend alike share their keys (CHAI, Agarwal 2024). */
export interface ChaiPolicy extends Omit<ChaiLayerOptions, 'dtype'> {
  readonly kind: 'chai';
}

type FloatType = 'f32' | 'f16' | 'bf16';

const FLOATS: readonly CacheType[] = ['f32', 'f16', 'bf16'];

const slotType = (dtype: CacheType): SlotType => (dtype === 'int8' ? 'i8' : (dtype as FloatType));

/** Bytes of a slot of one head: a key and a value of whole vectors, scales, a position and a sum of weights. */
function slotBytes(headDim: number, dtype: CacheType, withSums: boolean): number {
  const width = Math.ceil(headDim / 4) * 4;
  return 2 * width * bytesOf(slotType(dtype)) + (dtype === 'int8' ? 8 : 0) + 4 + (withSums ? 4 : 0);
}

/** A kind whose heads hold tokens of their own. */
function slotKind<K extends SlotPolicy['kind']>(
  kind: K,
  storages: readonly CacheType[],
  withSums: boolean,
): LayerKind<SlotPolicy & { readonly kind: K }> {
  const makerOf = (op: string, policy: SlotPolicy, dtype: CacheType) =>
    slotLayerMaker(op, { policy, dtype: slotType(dtype) });
  return {
    kind,
    storages,
    check(op, policy) {
      makerOf(op, policy, 'f32');
      return { ...policy };
    },
    create: ({ runtime, dtype }, size, policy) => makerOf('KVCache', policy, dtype).make(runtime, size),
    restore: ({ runtime, dtype }, size, policy, bytes) =>
      makerOf('KVCache', policy, dtype).restore(runtime, size, bytes),
    bytesPerToken: ({ kvHeads, headDim }, dtype) => kvHeads * slotBytes(headDim, dtype, withSums),
  };
}

export const h2oKind = slotKind('h2o', [...FLOATS, 'int8'], true);
export const tovaKind = slotKind('tova', [...FLOATS, 'int8'], true);
export const snapKind = slotKind('snapkv', FLOATS, false);
export const pyramidKind = slotKind('pyramidkv', FLOATS, false);

const chaiOptions = ({ dtype }: LayerHost, { kind, ...options }: ChaiPolicy): ChaiLayerOptions => ({
  ...options,
  dtype: dtype as FloatType,
});

export const chaiKind: LayerKind<ChaiPolicy> = {
  kind: 'chai',
  storages: FLOATS,
  check(op, policy, size) {
    const { kind, ...options } = policy;
    checkChai(op, { ...size, layer: 0 }, options);
    return { ...policy };
  },
  create: (host, size, policy) => chaiLayer(host.runtime, size, chaiOptions(host, policy)),
  restore: (host, size, policy, bytes) => restoreChaiLayer(host.runtime, size, chaiOptions(host, policy), bytes),
  // a key for each cluster, a value for each head
  bytesPerToken: ({ kvHeads, headDim }, dtype, { clusters }) =>
    (clusters + kvHeads) * headDim * bytesOf(dtype as FloatType),
};
