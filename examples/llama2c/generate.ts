import { type Generated, generate as generateTokens } from '../generate.ts';
import type { Sampler } from '../sample.ts';
import type { KvCache } from './cache.ts';
import type { Llama } from './model.ts';
import { beginToken, endToken } from './tokenizer.ts';

/** Feeds a prompt and generates tokens until one begins or ends a text, `most` are there, or the cache is full. */
export function generate(
  model: Llama,
  cache: KvCache,
  prompt: readonly number[],
  most: number,
  pick: Sampler,
  emit?: (token: number) => void,
): Promise<Generated> {
  // the last token is not fed, so that it needs no room
  const room = cache.size.capacity - cache.length - prompt.length + 1;
  return generateTokens({
    prompt,
    most: Math.min(most, room),
    feed: (tokens) => model.forward(tokens, cache),
    pick,
    ends: (token) => token === beginToken || token === endToken,
    emit,
  });
}
