import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { type AttentionLayer, cacheLayer, LanguageModel, type Sequence } from '../src/lm/index.ts';
import { readSafetensors, type SafetensorsFile, writeSafetensors } from '../src/safetensors.ts';
import { assertMet, property } from './property.ts';
import { variants } from './runtimes.ts';

// Written by training/tiny.py: random weights, and the logits of PyTorch in float64, token by token.
const FOLDER = new URL('lm/models/', import.meta.url);

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const bytesOf = (file: string) => readFileSync(new URL(file, FOLDER));
const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.logits.safetensors'))
  .map((file) => file.replace('.logits.safetensors', ''));

function expectedOf(name: string): { tokens: Uint8Array; logits: Float32Array } {
  const { tensors } = readSafetensors(bytesOf(`${name}.logits.safetensors`));
  return { tokens: tensors.get('tokens')!.data as Uint8Array, logits: tensors.get('logits')!.data as Float32Array };
}

/** Feeds tokens cut at places, and compares a row of logits for each. */
async function assertLogits(model: LanguageModel, name: string, cuts: readonly number[]): Promise<void> {
  const { tokens, logits } = expectedOf(name);
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
      assert.ok(Math.abs(x - want) <= 5e-5, `token ${begin + Math.floor(at / vocabulary)}: ${x}, expected ${want}`);
    }
  }
  assert.equal(sequence.length, tokens.length);
  assert.ok(sequence.bytes > 0);
}

test('there is a model of every kind', () => assert.equal(names.length, 10));

for (const name of names) {
  test(`${name}: the logits of PyTorch, at once, token by token, in any parts`, async () => {
    const length = expectedOf(name).tokens.length;
    for (const rt of runtimes) {
      using model = LanguageModel.read(rt, bytesOf(`${name}.safetensors`));
      await assertLogits(model, name, []);
      await assertLogits(
        model,
        name,
        Array.from({ length: length - 1 }, (_, i) => i + 1),
      );
      const cuts = fc.array(fc.integer({ min: 0, max: length }), { maxLength: 6 });
      assertMet(
        await property(name, cuts, 6, (places) =>
          assertLogits(
            model,
            name,
            [...places].sort((a, b) => a - b),
          ),
        ),
      );
    }
  });
}
