import type { KVCache, PageType } from '../../src/cache/index.ts';
import { type Agreement, checkForms, type Divergence, divergenceOf } from '../agreement.ts';
import { greedy } from '../sample.ts';
import type { Golden } from './folder.ts';
import { generate } from './generate.ts';
import type { Llama } from './model.ts';

/**
 * Largest error of a logit that `checkGolden` allows, relative to the largest logit of its position. Rounding keys and
 * values costs the small models here up to half of it.
 */
export const errorBounds: Readonly<Record<PageType, number>> = { f32: 1e-4, f16: 3e-3, bf16: 2e-2, int8: 8e-2 };

/** What a check found. */
export interface Check {
  readonly forms: readonly Agreement[];
  readonly bound: number;
  /** Greedy tokens after the golden prompt, and how many of them are llama2.c's up to the first that is not. */
  readonly greedy: { readonly tokens: readonly number[]; readonly same: number; readonly of: number };
  /** Logits within the bound in both forms and, with a float32 cache, the whole greedy text the same. */
  readonly passed: boolean;
}

/** Compares a model with llama2.c's tokens and logits: all tokens at once, one by one, and generating. */
export async function checkGolden(model: Llama, cache: KVCache, golden: Golden): Promise<Check> {
  const fed = golden.tokens.slice(0, golden.fed);
  const bound = errorBounds[cache.dtype as PageType];
  const forms = await checkForms(fed.length, golden.logits, model.config.vocabSize, async (form) => {
    cache.clear();
    if (form === 'prefill') return [await model.forward(fed, cache, 'all')];
    const rows: Float32Array[] = [];
    for (const token of fed) rows.push(await model.forward([token], cache));
    return rows;
  });
  cache.clear();
  const expected = golden.tokens.slice(golden.prompt.length);
  const { tokens } = await generate(model, cache, golden.prompt, expected.length, greedy);
  const different = expected.findIndex((token, i) => token !== tokens[i]);
  const same = different < 0 ? expected.length : different;
  return {
    forms,
    bound,
    greedy: { tokens, same, of: expected.length },
    passed: forms.every(({ error }) => error <= bound) && (cache.dtype !== 'f32' || same === expected.length),
  };
}

/**
 * Compares what a cache gave while it generated with what all keys in float32 give for the same text.
 *
 * @param logits what each generated token was picked from.
 */
export async function compareWithFull(
  model: Llama,
  prompt: readonly number[],
  tokens: readonly number[],
  logits: readonly Float32Array[],
): Promise<Divergence> {
  const fed = [...prompt, ...tokens].slice(0, prompt.length + logits.length - 1);
  using cache = model.cache({ capacity: fed.length });
  const all = await model.forward(fed, cache, 'all');
  return divergenceOf(logits, all.subarray((prompt.length - 1) * model.config.vocabSize));
}
