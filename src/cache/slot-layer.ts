/**
 * Layers of a cache that let tokens go, other ones for each head.
 *
 * @module
 */
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import type { VotePooling } from '../engines/window-votes.ts';
import { OptionError } from '../errors.ts';
import { h2oBudget } from '../ops/h2o.ts';
import { PYRAMID_BETA, votingOf } from '../ops/snapkv.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { EvictingLayer, type EvictingOptions } from './evicting-layer.ts';
import type { LayerCache, LayerSize } from './layer-cache.ts';
import { VotedLayer } from './voted-layer.ts';

/** Storage types of slots. */
export type SlotType = 'f32' | 'f16' | 'bf16' | 'i8';
export const SLOT_TYPES: readonly SlotType[] = ['f32', 'f16', 'bf16', 'i8'];

/** Which tokens a layer lets go. */
export type SlotPolicy =
  | {
      /** Token by token, the one with the least weights so far, but none of the last `recent`. */
      readonly kind: 'h2o';
      readonly heavy: number;
      readonly recent: number;
    }
  | {
      /** Token by token, the one with the least weight of the newest query: all heads as one, or each its own. */
      readonly kind: 'tova';
      readonly budget: number;
      readonly perHead?: boolean;
    }
  | {
      /** At the end of a prompt, those that its last queries do not vote for. */
      readonly kind: 'snapkv' | 'pyramidkv';
      readonly capacity: number;
      readonly window?: number;
      readonly kernelSize?: number;
      readonly pooling?: VotePooling;
      /** `pyramidkv`: the last layer keeps 1 / beta of the average. Default 20. */
      readonly beta?: number;
    };

/** Options of `slotLayer`. */
export interface SlotLayerOptions {
  readonly policy: SlotPolicy;
  /** Default f32; i8 has a scale for each row, and is for h2o and tova. */
  readonly dtype?: SlotType;
}

/** What makes a layer of one kind. */
export interface SlotLayerMaker {
  make(rt: Runtime, size: LayerSize): LayerCache;
  restore(rt: Runtime, size: LayerSize, bytes: Uint8Array): LayerCache;
}

/** What makes the layers of a policy. @throws OptionError for options that do not fit. */
export function slotLayerMaker(op: string, options: SlotLayerOptions): SlotLayerMaker {
  expectNames(op, 'option', options, ['policy', 'dtype']);
  const { policy, dtype = 'f32' } = options;
  if (!SLOT_TYPES.includes(dtype)) {
    throw new OptionError(`${op}: dtype is ${dtype}, expected ${SLOT_TYPES.join(' or ')}`);
  }
  const evicting = (eviction: Omit<EvictingOptions, 'dtype'>): SlotLayerMaker => ({
    make: (rt, size) => new EvictingLayer(rt, size, { ...eviction, dtype }),
    restore: (rt, size, bytes) => EvictingLayer.restore(rt, size, { ...eviction, dtype }, bytes),
  });
  switch (policy?.kind) {
    case 'h2o': {
      expectNames(op, 'option', policy, ['kind', 'heavy', 'recent']);
      const { budget, recent } = h2oBudget(op, policy);
      return evicting({ budget, recent, addSums: true, perHead: true });
    }
    case 'tova': {
      expectNames(op, 'option', policy, ['kind', 'budget', 'perHead']);
      const budget = whole(op, 'budget', policy.budget ?? Number.NaN, 1, 1);
      return evicting({ budget, recent: 0, addSums: false, perHead: flag(op, 'perHead', policy.perHead) });
    }
    case 'snapkv':
    case 'pyramidkv': {
      const names = ['kind', 'capacity', 'window', 'kernelSize', 'pooling'];
      const pyramid = policy.kind === 'pyramidkv';
      expectNames(op, 'option', policy, pyramid ? [...names, 'beta'] : names);
      if (dtype === 'i8') {
        throw new OptionError(
          `${op}: dtype is i8, expected f32, f16 or bf16 for ${policy.kind}: votes are of keys as they are`,
        );
      }
      const beta = pyramid ? finite(op, 'beta', policy.beta, PYRAMID_BETA, 1) : 0;
      const voted = { ...votingOf(op, policy), beta, dtype };
      return {
        make: (rt, size) => new VotedLayer(rt, size, voted),
        restore: (rt, size, bytes) => VotedLayer.restore(rt, size, voted, bytes),
      };
    }
    default:
      throw new OptionError(
        `${op}: policy is ${JSON.stringify(policy)}, expected one whose kind is h2o, tova, snapkv or pyramidkv`,
      );
  }
}

/**
 * The cache of one layer that lets tokens go by attention weights.
 *
 * `h2o` and `tova` hold at most their budget: tokens that come in wait until their queries attend, and are then put in, attended and let go
 * one by one in one kernel, so that a prompt gives what its tokens one by one give. Every token is attended once. `snapkv` and `pyramidkv`
 * attend to all they hold; a call with more than one query, and at least `window`, is the end of a prompt, after which the layer's budget
 * stays. Heads that share a key and value add their weights.
 *
 * Source: H2O (Zhang 2023), TOVA (Oren 2024), SnapKV (Li 2024), PyramidKV (Cai 2024).
 *
 * @throws OptionError for options that do not fit.
 * @throws MemoryLimitError if the slots do not fit.
 * @example const layer = slotLayer(rt, size, { policy: { kind: 'h2o', heavy: 128, recent: 128 }, dtype: 'f16' })
 */
export function slotLayer(rt: Runtime, size: LayerSize, options: SlotLayerOptions): LayerCache {
  return slotLayerMaker('slotLayer', options).make(rt, size);
}

/**
 * The layer whose `save` gave `bytes`, made with the same size and options.
 *
 * @throws CacheDataError if the bytes are cut short, changed, or of another layer.
 * @throws OptionError for options that do not fit.
 */
export function restoreSlotLayer(
  rt: Runtime,
  size: LayerSize,
  options: SlotLayerOptions,
  bytes: Uint8Array,
): LayerCache {
  return slotLayerMaker('slotLayer', options).restore(rt, size, bytes);
}
