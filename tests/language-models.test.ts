import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { CacheFullError, ModelError, OptionError } from '../src/index.ts';
import { cacheLayer, LanguageModel, rowsLayer } from '../src/lm/index.ts';
import { attentionSync } from '../src/ops/attention.ts';
import { readSafetensors, SafetensorsError, type SafetensorsFile, writeSafetensors } from '../src/safetensors.ts';
import { assertSameLogits, everyToken, readLogits } from './lm/logits.ts';
import { property } from './property.ts';
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

const expectedOf = (name: string) => readLogits(bytesOf(`${name}.logits.safetensors`));

/** Feeds the tokens of a file cut at places, and compares a row of logits for each. */
const assertLogits = (model: LanguageModel, name: string, cuts: readonly number[]) =>
  assertSameLogits(model, expectedOf(name), cuts, 5e-5);

test('there is a model of every kind', () => assert.equal(names.length, 10));

for (const name of names) {
  test(`${name}: the logits of PyTorch, at once, token by token, in any parts`, async () => {
    const length = expectedOf(name).tokens.length;
    for (const rt of runtimes) {
      using model = LanguageModel.read(rt, bytesOf(`${name}.safetensors`));
      await assertLogits(model, name, []);
      await assertLogits(model, name, everyToken(expectedOf(name)));
      const cuts = fc.array(fc.integer({ min: 0, max: length }), { maxLength: 6 });
      await property(cuts, 6, (places) =>
        assertLogits(
          model,
          name,
          [...places].sort((a, b) => a - b),
        ),
      );
    }
  });
}

test('another attention in layers that attend gives what the own one gives where both see all keys', async () => {
  for (const rt of runtimes) {
    const { tokens, logits } = expectedOf('attention');
    using model = LanguageModel.read(rt, bytesOf('attention.safetensors'));
    assert.deepEqual(model.attentionLayers, [0, 1, 2, 3]);
    using sequence = model.open({
      capacity: tokens.length,
      attention: (layer, sizes) => {
        if (layer === 0) return undefined;
        if (layer === 1) return cacheLayer(rt, sizes, { policy: { kind: 'window', window: tokens.length } });
        return rowsLayer(rt, sizes, (q, k, v) => attentionSync({ q, k, v }, { causal: true }).o);
      },
    });
    for (const [begin, end] of [
      [0, 50],
      [50, 51],
      [51, tokens.length],
    ] as const) {
      const got = await model.forward(tokens.subarray(begin, end), sequence, 'last');
      for (const [i, x] of got.entries()) assert.ok(Math.abs(x - logits[(end - 1) * 256 + i]!) <= 5e-5);
    }
  }
});

test('less is seen where a layer sees less', async () => {
  const [rt] = runtimes;
  const { tokens, logits } = expectedOf('attention');
  using model = LanguageModel.read(rt!, bytesOf('attention.safetensors'));
  using sequence = model.open({
    capacity: tokens.length,
    attention: (_, sizes) => cacheLayer(rt!, sizes, { policy: { kind: 'window', window: 4 } }),
  });
  const got = await model.forward(tokens, sequence);
  assert.ok(got.some((x, i) => Math.abs(x - logits[(tokens.length - 1) * 256 + i]!) > 1e-2));
});

test('models and sequences leave nothing behind', async () => {
  const [rt] = runtimes;
  const { tokens } = expectedOf('hybrid');
  const lives = async () => {
    using model = LanguageModel.read(rt!, bytesOf('hybrid.safetensors'));
    using sequence = model.open({ capacity: tokens.length });
    await model.forward(tokens, sequence);
    await model.forward(tokens.subarray(0, 0), sequence).catch(() => {});
  };
  await lives();
  const { used, blocks } = rt!.memory();
  for (let i = 0; i < 3; ++i) await lives();
  assert.deepEqual([rt!.memory().used, rt!.memory().blocks], [used, blocks]);
});

test('what is no model, no token or too much is named, and the sequence goes on', async () => {
  const [rt] = runtimes;
  const file = readSafetensors(bytesOf('gla.safetensors'));
  const changed = (change: (file: SafetensorsFile) => void): Uint8Array => {
    const copy = { tensors: new Map(file.tensors), metadata: new Map(file.metadata) };
    change(copy);
    return writeSafetensors(copy);
  };
  const config = (change: object) =>
    changed(({ metadata }) =>
      metadata.set('config', JSON.stringify({ ...JSON.parse(metadata.get('config')!), ...change })),
    );
  const blocks = rt!.memory().blocks;
  for (const [bytes, error, message] of [
    [new Uint8Array(3), SafetensorsError, /3 bytes/],
    [changed(({ metadata }) => metadata.clear()), ModelError, /no 'config'/],
    [config({ pattern: ['hyena'] }), ModelError, /"hyena".*expected attention/],
    [config({ pattern: [] }), ModelError, /pattern is \[\]/],
    [config({ dim: 'wide' }), ModelError, /dim is "wide"/],
    [config({ mlp: 41 }), ModelError, /mlp_in.weight is I8 of shape \[80,48\], expected F32 or I8 of shape \[82,48\]/],
    [changed(({ tensors }) => tensors.delete('layers.3.norm2')), ModelError, /no weight layers.3.norm2/],
    [changed(({ tensors }) => tensors.delete('embedding.scale')), ModelError, /no weight embedding.scale/],
  ] as const) {
    assert.throws(
      () => LanguageModel.read(rt!, bytes),
      (thrown) => thrown instanceof error && message.test(thrown.message),
    );
  }
  assert.equal(rt!.memory().blocks, blocks);

  const { tokens, logits } = expectedOf('gla');
  using model = LanguageModel.read(rt!, bytesOf('gla.safetensors'));
  assert.throws(() => model.open({ capacity: 0 }), OptionError);
  assert.throws(() => model.open({ capacity: 1.5 }), OptionError);
  using sequence = model.open({ capacity: 20 });
  await model.forward(tokens.subarray(0, 10), sequence);
  await assert.rejects(model.forward([], sequence), ModelError);
  await assert.rejects(model.forward([1, 256], sequence), /token 1 is 256/);
  await assert.rejects(model.forward([1, -1], sequence), /token 1 is -1/);
  await assert.rejects(model.forward(new Uint8Array(11), sequence), CacheFullError);
  const got = await model.forward(tokens.subarray(10, 20), sequence);
  for (const [i, x] of got.entries()) assert.ok(Math.abs(x - logits[19 * 256 + i]!) <= 5e-5);
});
