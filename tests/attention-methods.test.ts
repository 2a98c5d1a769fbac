import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { judged, predictions } from '../src/cli/compare/quality.ts';
import { OptionError } from '../src/index.ts';
import {
  ATTENTION_METHODS,
  type AttentionMethod,
  attentionMethod,
  describePlan,
  LanguageModel,
} from '../src/lm/index.ts';
import { readSafetensors } from '../src/safetensors.ts';
import { variants } from './runtimes.ts';

const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

const file = (name: string) => readFileSync(new URL(`lm/models/${name}`, import.meta.url));
const { tensors } = readSafetensors(file('attention.logits.safetensors'));
const text = tensors.get('tokens')!.data as Uint8Array;
const tokens = text.subarray(0, -1);

/** Distance from dense attention, with the prompt at once and, if the method bears on them, tokens one by one behind 40. */
async function distance(
  model: LanguageModel,
  method: AttentionMethod,
  budget: number,
  prompt: number,
): Promise<{ kl: number; agreement: number }> {
  const rt = model.runtime;
  const attention = (_: number, sizes: Parameters<AttentionMethod['open']>[1]) => method.open(rt, sizes, budget);
  const reference = await predictions(model, tokens);
  return judged(text, await predictions(model, tokens, { attention, prompt }), 0, reference);
}

/** What stays of a method's own when its budget is all keys. */
const ROUNDS: Readonly<Record<string, number>> = { storage: 0.2, rounded: 0.05 };
/** Methods that choose by shares of weights or by the length: no budget makes them dense. */
const CHOOSES = ['stridedAttention', 'xAttention', 'spargeAttn', 'flexPrefill', 'minference', 'sampleAttention'];

for (const method of ATTENTION_METHODS) {
  test(`${method.name}: as dense attention where all keys may be kept or seen, something else where few may`, async () => {
    for (const rt of runtimes) {
      using model = LanguageModel.read(rt, file('attention.safetensors'));
      for (const prompt of [...(method.prompts ? [tokens.length] : []), ...(method.tokens ? [40] : [])]) {
        const most = CHOOSES.includes(method.name) ? 1 : (ROUNDS[method.family] ?? 1e-8);
        const { kl } = await distance(model, method, 128, prompt);
        assert.ok(kl >= -1e-8 && kl <= most, `${kl} bits from dense attention, at most ${most} expected`);
        if (!method.budgeted || CHOOSES.includes(method.name)) continue;
        const { kl: few } = await distance(model, method, 16, prompt);
        assert.ok(few > 1e-6 && Number.isFinite(few), `${few} bits from dense attention with few keys`);
      }
    }
  });
}

test('an unknown method is named', () => {
  assert.equal(attentionMethod('h2o').name, 'h2o');
  assert.throws(() => attentionMethod('hyper'), OptionError);
});

test('what attends is told in runs of layers', () => {
  const named = (mixers: readonly string[], attentionLayers: readonly number[]) =>
    ({ attentionLayers, config: { mixers: mixers.map((name) => ({ name })) } }) as unknown as LanguageModel;
  const dense = named(['attention', 'attention', 'attention', 'attention'], [0, 1, 2, 3]);
  const layers = [0, 1, 3].map((layer) => ({ layer, method: layer === 3 ? 'window' : 'int8', budget: 64 }));
  assert.equal(describePlan(dense, { model: '', layers }), '0-1 int8, 2 its own attention, 3 window 64');
  const mixed = named(['gla', 'attention', 'gla', 'window'], [1, 3]);
  assert.equal(describePlan(mixed, { model: '', layers: [] }), '1 its own attention, 3 its own window');
  const both = [1, 3].map((layer) => ({ layer, method: 'int8', budget: 64 }));
  assert.equal(describePlan(mixed, { model: '', layers: both }), '1 int8, 3 int8');
  assert.equal(describePlan(named(['gla'], []), { model: '', layers: [] }), 'no layer attends');
});
