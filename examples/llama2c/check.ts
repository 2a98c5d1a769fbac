import { performance } from 'node:perf_hooks';
import type { CacheType, KvCache } from './cache.ts';
import type { Golden } from './folder.ts';
import { generate, type Pace } from './generate.ts';
import type { Llama } from './model.ts';
import { greedy } from './sample.ts';

/**
 * Largest error of a logit that `checkGolden` allows, relative to the largest logit of its position. Rounding keys and
 * values costs the small models here up to half of it.
 */
export const errorBounds: Readonly<Record<CacheType, number>> = { f32: 1e-4, f16: 3e-3, bf16: 2e-2, int8: 8e-2 };

/** How the logits of one way to feed the golden tokens agree with llama2.c's. */
export interface Agreement {
  readonly form: 'prefill' | 'step';
  /** Largest difference of a logit, relative to the largest logit of its position. */
  readonly error: number;
  /** Positions at which the largest logit is at the same token. */
  readonly sameTop: number;
  readonly pace: Pace;
}

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
export async function checkGolden(model: Llama, cache: KvCache, golden: Golden): Promise<Check> {
  const fed = golden.tokens.slice(0, golden.fed);
  const bound = errorBounds[cache.type];
  const forms: Agreement[] = [];
  for (const form of ['prefill', 'step'] as const) {
    cache.clear();
    const start = performance.now();
    const rows = form === 'prefill' ? [await model.forward(fed, cache, 'all')] : [];
    if (form === 'step') for (const token of fed) rows.push(await model.forward([token], cache));
    const pace = { tokens: fed.length, ms: performance.now() - start };
    forms.push({ form, pace, ...compareLogits(rows, golden.logits, model.config.vocabSize) });
  }
  cache.clear();
  const expected = golden.tokens.slice(golden.prompt.length);
  const { tokens } = await generate(model, cache, golden.prompt, expected.length, greedy);
  const different = expected.findIndex((token, i) => token !== tokens[i]);
  const same = different < 0 ? expected.length : different;
  return {
    forms,
    bound,
    greedy: { tokens, same, of: expected.length },
    passed: forms.every(({ error }) => error <= bound) && (cache.type !== 'f32' || same === expected.length),
  };
}

function compareLogits(
  parts: readonly Float32Array[],
  expected: Float32Array,
  vocabSize: number,
): Pick<Agreement, 'error' | 'sameTop'> {
  const rows = parts.flatMap((part) => splitRows(part, vocabSize));
  let error = 0;
  let sameTop = 0;
  for (const [t, want] of splitRows(expected, vocabSize).entries()) {
    const got = rows[t]!;
    const largest = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const difference = want.reduce((most, x, id) => Math.max(most, Math.abs(x - got[id]!)), 0);
    // NaN must not pass as a small error
    error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(error, difference / largest);
    if (greedy(got) === greedy(want)) sameTop++;
  }
  return { error, sameTop };
}

function splitRows(numbers: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: numbers.length / width }, (_, t) => numbers.subarray(t * width, (t + 1) * width));
}
