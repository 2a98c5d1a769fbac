import type { KVCache } from '../../src/cache/index.ts';
import { type Generated, generate as generateTokens } from '../generate.ts';
import type { Sampler } from '../sample.ts';
import { roomOf } from './cache.ts';
import type { Llama } from './model.ts';
import { beginToken, endToken } from './tokenizer.ts';

/**
 * Feeds a prompt and generates tokens until one begins or ends a text, `most` are there, or the cache is full.
 *
 * @param logits is called with what each token is picked from.
 */
export function generate(
  model: Llama,
  cache: KVCache,
  prompt: readonly number[],
  most: number,
  pick: Sampler,
  emit?: (token: number) => void,
  logits?: (row: Float32Array) => void,
): Promise<Generated> {
  // the last token is not fed, so that it needs no room
  const room = roomOf(cache) - prompt.length + 1;
  return generateTokens({
    prompt,
    most: Math.min(most, room),
    feed: async (tokens) => {
      const row = await model.forward(tokens, cache);
      logits?.(row);
      return row;
    },
    pick,
    ends: (token) => token === beginToken || token === endToken,
    emit,
  });
}
