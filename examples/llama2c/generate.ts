import { performance } from 'node:perf_hooks';
import type { KvCache } from './cache.ts';
import type { Llama } from './model.ts';
import type { Sampler } from './sample.ts';
import { beginToken, endToken } from './tokenizer.ts';

/** How many tokens were fed in how long. */
export interface Pace {
  readonly tokens: number;
  readonly ms: number;
}

/** What was generated, the begin or end token that stopped it left out. */
export interface Generated {
  readonly tokens: readonly number[];
  /** The prompt, fed in one call. */
  readonly prefill: Pace;
  /** The generated tokens that were fed, one by one. */
  readonly decode: Pace;
}

/**
 * Feeds a prompt and generates tokens until one begins or ends a text, `most` are there, or the cache is full.
 *
 * @param emit called with each token as it comes.
 */
export async function generate(
  model: Llama,
  cache: KvCache,
  prompt: readonly number[],
  most: number,
  pick: Sampler,
  emit: (token: number) => void = () => {},
): Promise<Generated> {
  const tokens: number[] = [];
  const start = performance.now();
  let logits = await model.forward(prompt, cache);
  const prefilled = performance.now();
  let fed = 0;
  while (tokens.length < most) {
    const token = pick(logits);
    if (token === beginToken || token === endToken) break;
    tokens.push(token);
    emit(token);
    if (tokens.length === most || cache.length === cache.size.capacity) break;
    logits = await model.forward([token], cache);
    fed++;
  }
  return {
    tokens,
    prefill: { tokens: prompt.length, ms: prefilled - start },
    decode: { tokens: fed, ms: performance.now() - prefilled },
  };
}
