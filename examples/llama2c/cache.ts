import type { CachePolicy, CacheType, KVCache, KVCacheOptions } from '../../src/cache/index.ts';
import type { LlamaConfig } from './checkpoint.ts';

/** How keys and values may be kept. */
export const cacheTypes = [
  'f32',
  'f16',
  'bf16',
  'int8',
  'int4',
  'kivi4',
  'kivi2',
] as const satisfies readonly CacheType[];

/** Which keys may be kept, or seen by a token. */
export const policyNames = [
  'full',
  'window',
  'streaming',
  'duo',
  'h2o',
  'tova',
  'snapkv',
  'pyramidkv',
  'quest',
  'sparq',
] as const satisfies readonly CachePolicy['kind'][];

/** Tokens of a page of Quest, and of the window that votes with SnapKV and PyramidKV. */
const questPage = 8;
const voters = 8;

/** A cache as the command line asks for it. */
export interface CacheChoice {
  readonly cache: CacheType;
  readonly policy: (typeof policyNames)[number];
  /** Keys that a token sees where not all are kept, sinks counted. */
  readonly budget: number;
  readonly sinks: number;
  /** Key/value heads of a layer that keep all keys with 'duo'. */
  readonly fullHeads: number;
  readonly pageSize?: number;
}

/** Most tokens of a prompt that a cache with a window takes at a time. */
const chunk = 64;

/** Options of a cache for a model, beside the model's own sizes. @throws Error if the budget leaves no window. */
export function cacheOptions(choice: CacheChoice, config: LlamaConfig): Partial<KVCacheOptions> {
  const { cache: dtype, budget, sinks, pageSize } = choice;
  const window = budget - sinks;
  if (choice.policy !== 'full' && window < 1) {
    throw new Error(`a budget of ${budget} keys is taken up by ${sinks} sinks: expected more`);
  }
  // what keys have in common costs int8 more than anything else; a policy's rope turns keys apart
  const smoothKeys = dtype === 'int8' && choice.policy !== 'streaming';
  const shared = { dtype, smoothKeys, ...(pageSize !== undefined && { pageSize }) };
  // positions of the last keys, and of the first ones beside them, are those in the cache
  const rope = { interleaved: true };
  const heads = Array.from({ length: config.layers }, () =>
    Array.from({ length: config.kvHeads }, (_, h) => (h < choice.fullHeads ? 'full' : 'streaming') as 'full'),
  );
  switch (choice.policy) {
    case 'full':
      return shared;
    case 'window':
      return { ...shared, capacity: budget + chunk, policy: { kind: 'window', window: budget } };
    case 'streaming':
      return { ...shared, capacity: budget + chunk, policy: { kind: 'streaming', sinks, window, rope } };
    case 'duo':
      return { ...shared, policy: { kind: 'duo', heads, sinks, window } };
    case 'h2o':
      return { dtype, policy: { kind: 'h2o', heavy: Math.ceil(budget / 2), recent: Math.floor(budget / 2) } };
    case 'tova':
      return { dtype, policy: { kind: 'tova', budget } };
    case 'snapkv':
    case 'pyramidkv':
      return { dtype, policy: { kind: choice.policy, capacity: budget, window: Math.min(voters, budget) } };
    case 'quest':
      return {
        dtype,
        policy: { kind: 'quest', topk: Math.max(3, Math.ceil(budget / questPage)), pageSize: questPage },
      };
    case 'sparq':
      return { dtype, policy: { kind: 'sparq', topk: budget, r: Math.ceil(config.dim / config.heads / 2) } };
  }
}

/** Most tokens that may be fed at a time. */
export function mostTokens(cache: KVCache): number {
  const { kind } = cache.policy;
  return kind === 'window' || kind === 'streaming' ? chunk : cache.capacity;
}

/** Tokens that a cache has yet room for. */
export function roomOf(cache: KVCache): number {
  const { kind } = cache.policy;
  return kind === 'window' || kind === 'streaming' ? Number.POSITIVE_INFINITY : cache.capacity - cache.length;
}

/** Whether the cache turns keys and queries itself. */
export function turnsKeys({ policy }: KVCache): boolean {
  return policy.kind === 'streaming' && policy.rope !== undefined;
}
