/**
 * What may attend in place of dense attention in a trained model, without training it again.
 *
 * @module
 */
import { OptionError } from '../errors.ts';
import { attentionSync, type QuantizationKind } from '../ops/attention.ts';
import { flexPrefillSync } from '../ops/flex-prefill.ts';
import { longformerSync } from '../ops/longformer.ts';
import { minferenceSync } from '../ops/minference.ts';
import { mobaSync } from '../ops/moba.ts';
import { sampleAttentionSync } from '../ops/sample-attention.ts';
import { spargeAttnSync } from '../ops/sparge-attn.ts';
import { stridedAttentionSync } from '../ops/sparse-transformer.ts';
import { topKAttentionSync } from '../ops/top-attention.ts';
import { xAttentionSync } from '../ops/xattention.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Tensor } from '../tensor.ts';
import { type AttendRows, type AttentionLayer, type AttentionSizes, cacheLayer, rowsLayer } from './attention-layer.ts';

/** What a method saves: bytes of keys and values, keys that are kept, keys that queries see, or digits of products. */
export type MethodFamily = 'dense' | 'storage' | 'kept' | 'seen' | 'rounded';

/** One method. */
export interface AttentionMethod {
  readonly name: string;
  readonly family: MethodFamily;
  /** Whether a budget of keys bears on it: what is kept, or seen by a query. */
  readonly budgeted: boolean;
  /** Whether it bears on prompts, which are fed at once, or on tokens that come one by one behind one; some bear on both. */
  readonly prompts: boolean;
  readonly tokens: boolean;
  /** Whether a text gives the same fed at once and token by token, where the method bears on both. */
  readonly anyParts: boolean;
  /** @param budget keys that are kept or seen, at least 16. */
  open(rt: Runtime, sizes: AttentionSizes, budget: number): AttentionLayer;
}

type Open = AttentionMethod['open'];
type CacheOptions = Parameters<typeof cacheLayer>[2];

/** Of these keys the first ones are always kept. */
const SINKS = 4;
/** Keys of a block or page of methods that choose such. */
const BLOCK = 16;
/** Keys of a page of Quest: of heads as narrow as 32, bounds of 8 or 16 keys say too little to choose by in a first layer. */
const QUEST_PAGE = 4;

const dense: AttendRows = (q, k, v) => attentionSync({ q, k, v }, { causal: true }).o;

const inCache =
  (optionsOf: (budget: number, sizes: AttentionSizes) => CacheOptions): Open =>
  (rt, sizes, budget) =>
    cacheLayer(rt, sizes, optionsOf(budget, sizes));

/** Rows that a function attends to; a single query sees all of them where `tokens` says nothing else. */
const onRows =
  (attend: (q: Tensor, k: Tensor, v: Tensor, budget: number) => Tensor, tokens: 'dense' | 'same' = 'dense'): Open =>
  (rt, sizes, budget) =>
    rowsLayer(rt, sizes, (q, k, v, start) =>
      tokens === 'dense' && start > 0 ? dense(q, k, v, start) : attend(q, k, v, budget),
    );

const stored = (dtype: NonNullable<NonNullable<CacheOptions>['dtype']>, anyParts = true): AttentionMethod => ({
  name: dtype,
  family: 'storage',
  budgeted: false,
  prompts: true,
  tokens: true,
  anyParts,
  open: inCache(() => ({ dtype })),
});

const kept = (name: string, prompts: boolean, optionsOf: (budget: number) => CacheOptions): AttentionMethod => ({
  name,
  family: 'kept',
  budgeted: true,
  prompts,
  tokens: true,
  anyParts: prompts,
  open: inCache(optionsOf),
});

const rounded = (kind: QuantizationKind): AttentionMethod => ({
  name: `${kind} products`,
  family: 'rounded',
  budgeted: false,
  prompts: true,
  tokens: false,
  anyParts: true,
  open: onRows((q, k, v) => attentionSync({ q, k, v }, { causal: true, quantization: kind }).o),
});

const seen = (
  name: string,
  budgeted: boolean,
  attend: (q: Tensor, k: Tensor, v: Tensor, budget: number) => Tensor,
  tokens: 'dense' | 'same' = 'dense',
): AttentionMethod => ({
  name,
  family: 'seen',
  budgeted,
  prompts: true,
  tokens: tokens === 'same',
  anyParts: true,
  open: onRows(attend, tokens),
});

/** All methods; the first one is what the others stand for. */
export const ATTENTION_METHODS: readonly AttentionMethod[] = [
  {
    name: 'dense',
    family: 'dense',
    budgeted: false,
    prompts: true,
    tokens: true,
    anyParts: true,
    open: (rt, sizes) => cacheLayer(rt, sizes),
  },
  stored('f16'),
  stored('bf16'),
  stored('int8'),
  stored('int4'),
  stored('kivi4', false),
  stored('kivi2', false),
  kept('window', true, (budget) => ({ policy: { kind: 'window', window: budget } })),
  kept('streamingLlm', true, (budget) => ({ policy: { kind: 'streaming', sinks: SINKS, window: budget - SINKS } })),
  kept('h2o', true, (budget) => ({ policy: { kind: 'h2o', heavy: budget >> 1, recent: budget - (budget >> 1) } })),
  kept('tova', true, (budget) => ({ policy: { kind: 'tova', budget } })),
  kept('snapkv', false, (budget) => ({ policy: { kind: 'snapkv', capacity: budget, window: BLOCK } })),
  kept('quest', false, (budget) => ({
    policy: { kind: 'quest', pageSize: QUEST_PAGE, topk: Math.ceil(budget / QUEST_PAGE) },
  })),
  kept('sparq', false, (budget) => ({ policy: { kind: 'sparq', r: 8, topk: budget, local: BLOCK } })),
  seen(
    'topKAttention',
    true,
    (q, k, v, budget) => topKAttentionSync({ q, k, v }, { k: budget, causal: true }).o,
    'same',
  ),
  seen(
    'moba',
    true,
    (q, k, v, budget) => mobaSync({ q, k, v }, { chunkSize: BLOCK, topk: Math.ceil(budget / BLOCK) }).o,
    'same',
  ),
  seen('longformer', true, (q, k, v, budget) => longformerSync({ q, k, v }, { window: budget - 1, causal: true }).o),
  seen('stridedAttention', false, (q, k, v) => {
    return stridedAttentionSync({ q, k, v }, { stride: Math.max(2, Math.round(Math.sqrt(k.shape[1]!))), causal: true })
      .o;
  }),
  seen('xAttention', false, (q, k, v) => xAttentionSync({ q, k, v }, { block: 64, threshold: 0.9 }).o),
  seen('spargeAttn', false, (q, k, v) => spargeAttnSync({ q, k, v }, { causal: true }).o),
  seen('flexPrefill', false, (q, k, v) => flexPrefillSync({ q, k, v }, { block: 64 }).o),
  seen('minference', true, (q, k, v, budget) => {
    const half = Math.min(k.shape[1]!, budget >> 1);
    return minferenceSync({ q, k, v }, { plan: { pattern: 'verticalSlash', vertical: half, slash: half } }).o;
  }),
  seen('sampleAttention', false, (q, k, v) => sampleAttentionSync({ q, k, v }, {}).o),
  rounded('int8'),
  rounded('sage'),
  rounded('sage2'),
  rounded('fp8'),
];

/** The method of a name. @throws OptionError if there is none. */
export function attentionMethod(name: string): AttentionMethod {
  const found = ATTENTION_METHODS.find((method) => method.name === name);
  if (!found) {
    throw new OptionError(
      `there is no attention method '${name}', expected one of ${ATTENTION_METHODS.map((method) => method.name).join(', ')}`,
    );
  }
  return found;
}
