import { readFile } from 'node:fs/promises';
import { type Agreement, checkForms } from '../agreement.ts';
import type { KeywordSpotter } from './model.ts';

/** Largest error of a logit that a check allows, relative to the largest logit. */
export const errorBound = 1e-4;

/**
 * Reads the logits for the model's sample: mambakws-any-10.safetensors has mambakws-any-10.numpy_logits.txt beside it.
 *
 * @throws Error if there is no such file, or it holds something else than numbers.
 */
export async function readGolden(path: string): Promise<Float32Array> {
  const file = path.replace(/\.safetensors$/, '.numpy_logits.txt');
  const logits = Float32Array.from((await readFile(file, 'utf8')).trim().split(/\s+/), Number);
  if (logits.some(Number.isNaN)) throw new Error(`${file} holds something else than numbers`);
  return logits;
}

/** Compares the logits of both ways to feed the sample. @throws Error if the model knows another number of words. */
export function checkGolden(model: KeywordSpotter, golden: Float32Array): Promise<Agreement[]> {
  const { words } = model.sizes;
  if (golden.length !== words) throw new Error(`${golden.length} logits are expected, the model has ${words}`);
  const sample = model.sample();
  const frames = model.frames(sample);
  return checkForms(frames.length, golden, words, async (form) => {
    using memory = model.empty();
    if (form === 'prefill') return [model.forward(sample, memory)];
    return frames.map((frame) => model.forward(frame, memory)).slice(-1);
  });
}
