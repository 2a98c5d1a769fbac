import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Agreement, checkForms } from '../agreement.ts';
import type { Rwkv } from './model.ts';

/** Largest error of a logit that a check allows, relative to the largest logit. */
export const errorBound = 1e-4;

/** The bytes after which rwkv.cpp gave its logits. */
const fed = [...Buffer.from('"in')];

/**
 * Reads rwkv.cpp's logits of a model: tiny-rwkv-4v0-660K-FP32.safetensors has expected-logits-4v0-660K.bin beside it.
 *
 * @throws Error if there is no such file, or not one of float32.
 */
export async function readGolden(path: string): Promise<Float32Array> {
  const folder = dirname(path);
  const name = (await readdir(folder)).find((file) => {
    const model = /^expected-logits-(.+)\.bin$/.exec(file)?.[1];
    return model !== undefined && basename(path).includes(model);
  });
  if (name === undefined) throw new Error(`${folder} has no expected-logits-*.bin for ${basename(path)}`);
  const bytes = await readFile(join(folder, name));
  if (bytes.length % 4 !== 0) throw new Error(`${name} has ${bytes.length} bytes, expected float32`);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Compares the logits of both ways to feed. @throws Error if the model's vocabulary is of another size. */
export function checkGolden(model: Rwkv, golden: Float32Array): Promise<Agreement[]> {
  if (golden.length !== model.vocabulary) {
    throw new Error(`${golden.length} logits are expected, the model has ${model.vocabulary}`);
  }
  return checkForms(fed.length, golden, model.vocabulary, async (form) => {
    using memory = model.empty();
    if (form === 'prefill') return [model.forward(fed, memory)];
    return fed.map((byte) => model.forward([byte], memory)).slice(-1);
  });
}
