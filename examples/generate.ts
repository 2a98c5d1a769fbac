import type { Pace } from './pace.ts';
import type { Sampler } from './sample.ts';

/** What was generated, the token that ended it left out. */
export interface Generated {
  readonly tokens: readonly number[];
  /** The prompt, fed in one call. */
  readonly prefill: Pace;
  /** The generated tokens that were fed, one by one. */
  readonly decode: Pace;
}

/** What a generation takes. */
export interface Generation {
  readonly prompt: readonly number[];
  /** Most tokens to generate. */
  readonly most: number;
  /** Feeds the next tokens; gives the logits after the last. */
  feed(tokens: readonly number[]): Float32Array | Promise<Float32Array>;
  readonly pick: Sampler;
  /** Whether a token ends the text; default none does. */
  ends?(token: number): boolean;
  /** Called with each token as it comes. */
  emit?(token: number): void;
}

/** Feeds a prompt and generates tokens, each fed as it comes, but for the last. */
export async function generate({ prompt, most, feed, pick, ends, emit }: Generation): Promise<Generated> {
  const tokens: number[] = [];
  const start = performance.now();
  let logits = await feed(prompt);
  const prefilled = performance.now();
  let fed = 0;
  while (tokens.length < most) {
    const token = pick(logits);
    if (ends?.(token)) break;
    tokens.push(token);
    emit?.(token);
    if (tokens.length === most) break;
    logits = await feed([token]);
    fed++;
  }
  return {
    tokens,
    prefill: { tokens: prompt.length, ms: prefilled - start },
    decode: { tokens: fed, ms: performance.now() - prefilled },
  };
}
