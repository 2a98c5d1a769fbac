import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { answers, judged, predictions } from '../src/cli/compare/quality.ts';
import { plainProse, recallText } from '../src/cli/compare/recall.ts';
import { windowsOf } from '../src/cli/compare/windows.ts';
import { openZoo } from '../src/cli/compare/zoo.ts';
import { createRuntime } from '../src/index.ts';
import { LanguageModel } from '../src/lm/index.ts';
import { assertSameLogits, everyToken, readLogits } from './lm/logits.ts';

/** The trained models: the zoo of the checkout, or the folder that WATTN_ZOO names. */
const FOLDER = process.env.WATTN_ZOO ?? fileURLToPath(new URL('../zoo', import.meta.url));
const MODELS = `${FOLDER}/models`;
const KINDS = ['attention', 'gated-deltanet', 'gla', 'hybrid', 'kda', 'mamba2', 'moba', 'retnet', 'rwkv7', 'window'];

const trained = existsSync(MODELS);
const rt = await createRuntime();
after(() => rt.dispose());

if (!trained)
  test('models of the zoo', (t) => t.skip(`${MODELS} is not there: training/README.md says how they are trained`));
else {
  const zoo = openZoo(FOLDER);
  const read = (name: string) => LanguageModel.read(rt, zoo.model(name));

  test('there is a model of every kind, small enough to ship', () => {
    assert.deepEqual(zoo.names, KINDS);
    const sizes = zoo.names.map((name) => statSync(`${MODELS}/${name}.safetensors`).size);
    for (const [i, size] of sizes.entries()) assert.ok(size <= 3e6, `${zoo.names[i]}: ${size} bytes`);
    assert.ok(sizes.reduce((a, b) => a + b) <= 25e6);
    const files = readdirSync(MODELS);
    for (const name of KINDS) assert.ok(files.includes(`${name}.md`), `${name} has no card`);
  });

  for (const name of zoo.names) {
    test(`${name}: the logits of PyTorch, at once and token by token`, async () => {
      using model = read(name);
      const expected = readLogits(readFileSync(`${MODELS}/${name}.logits.safetensors`));
      for (const cuts of [[], everyToken(expected)]) await assertSameLogits(model, expected, cuts, 1e-3);
    });

    test(`${name}: predicts held-out text better than a 5-gram model`, async (t) => {
      using model = read(name);
      const windows = windowsOf(zoo.texts, zoo.texts.length, model.config.context + 1);
      let bits = 0;
      for (const window of windows) {
        bits += judged(window, await predictions(model, window.subarray(0, -1)), 0).bits / windows.length;
      }
      const said = `${bits.toFixed(4)} bits per byte, the 5-gram model ${zoo.ngram}`;
      t.diagnostic(said);
      assert.ok(bits < zoo.ngram!, said);
    });
  }

  test('recall by distance: all of the trained length where all is seen, nothing past a window', async (t) => {
    const prose = plainProse(Uint8Array.from(zoo.texts.flatMap(({ bytes }) => Array.from(bytes))));
    const distances = [64, 768];
    const shares = async (name: string, pairs: number) => {
      using model = read(name);
      const found: number[] = [];
      for (const distance of distances) {
        const right: boolean[] = [];
        for (let seed = 1; seed <= 8; ++seed) {
          right.push(...(await answers(model, recallText(seed, prose, [distance], pairs))));
        }
        found.push(right.filter(Boolean).length / right.length);
      }
      t.diagnostic(`${name}, ${pairs} pairs: ${found.join(' and ')} at ${distances.join(' and ')} bytes`);
      return found;
    };
    for (const name of ['attention', 'hybrid']) {
      const [near, far] = await shares(name, 4);
      assert.ok(near! > 0.9 && far! > 0.9, `${name}: ${near}, ${far}`);
    }
    // it copies what it sees, but has not learned to choose among pairs by their keys (zoo/README.md)
    const [near, far] = await shares('window', 1);
    assert.ok(near! > 0.9 && far === 0, `window: ${near}, ${far}`);
  });
}
