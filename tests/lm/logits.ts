import assert from 'node:assert/strict';
import type { LanguageModel } from '../../src/lm/index.ts';
import { readSafetensors } from '../../src/safetensors.ts';

/** Tokens, and the logits [tokens, vocabulary] that PyTorch gives for them. */
export interface Logits {
  readonly tokens: Uint8Array;
  readonly logits: Float32Array;
}

/** Reads a file NAME.logits.safetensors. */
export function readLogits(bytes: Uint8Array): Logits {
  const { tensors } = readSafetensors(bytes);
  return { tokens: tensors.get('tokens')!.data as Uint8Array, logits: tensors.get('logits')!.data as Float32Array };
}

/** Feeds tokens cut at places, and compares a row of logits for each. */
export async function assertSameLogits(
  model: LanguageModel,
  { tokens, logits }: Logits,
  cuts: readonly number[],
  tolerance: number,
): Promise<void> {
  const { vocabulary } = model.config;
  using sequence = model.open({ capacity: tokens.length });
  const places = [0, ...cuts, tokens.length];
  for (const [i, begin] of places.slice(0, -1).entries()) {
    const end = places[i + 1]!;
    if (end === begin) continue;
    const got = await model.forward(tokens.subarray(begin, end), sequence, 'all');
    assert.equal(got.length, (end - begin) * vocabulary);
    for (const [at, x] of got.entries()) {
      const want = logits[begin * vocabulary + at]!;
      assert.ok(
        Math.abs(x - want) <= tolerance,
        `token ${begin + Math.floor(at / vocabulary)}: ${x}, expected ${want}`,
      );
    }
  }
  assert.equal(sequence.length, tokens.length);
  assert.ok(sequence.bytes > 0);
}

/** Cuts that feed tokens one by one. */
export const everyToken = ({ tokens }: Logits) => Array.from({ length: tokens.length - 1 }, (_, i) => i + 1);
