import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { checkGolden, errorBound, readGolden } from '../examples/mamba-kws/golden.ts';
import { KeywordSpotter } from '../examples/mamba-kws/model.ts';
import { greedy } from '../examples/sample.ts';
import { modelAt, relativeError, runExample } from './example-models.ts';
import { variants } from './runtimes.ts';

const { path, whyNot } = modelAt('mamba-kws/mambakws-any-10.safetensors');
const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

describe('mamba-kws', () => {
  for (const rt of runtimes) {
    it(`agrees with the golden logits: ${rt.variant}`, async (t) => {
      if (whyNot) return t.skip(whyNot);
      using model = await KeywordSpotter.read(rt, path);
      const golden = await readGolden(path);
      assert.equal(greedy(golden), 9);
      const found = await checkGolden(model, golden);
      assert.deepEqual(
        found.map(({ form, sameTop, rows }) => ({ form, sameTop, rows })),
        ['prefill', 'step'].map((form) => ({ form, sameTop: 1, rows: 1 })),
      );
      for (const { form, error } of found) assert.ok(error <= errorBound, `${form}: ${error} > ${errorBound}`);
    });

    it(`gives the same logits however a recording is fed: ${rt.variant}`, async (t) => {
      if (whyNot) return t.skip(whyNot);
      using model = await KeywordSpotter.read(rt, path);
      const golden = await readGolden(path);
      const { features } = model.sizes;
      for (const parts of [
        [1, 2, 1, 63, 33],
        [50, 50],
        [99, 1],
      ]) {
        using memory = model.empty();
        let at = 0;
        let logits: Float32Array | undefined;
        for (const count of parts) {
          logits = model.forward(model.sample().subarray(at * features, (at + count) * features), memory);
          at += count;
        }
        assert.equal(memory.frames, 100);
        const error = relativeError(logits!, golden);
        assert.ok(error <= errorBound, `${parts}: ${error} > ${errorBound}`);
      }
    });
  }

  it('holds as much memory after each frame, and none in the end', async (t) => {
    if (whyNot) return t.skip(whyNot);
    const rt = runtimes[0]!;
    const before = rt.memory().used;
    {
      using model = await KeywordSpotter.read(rt, path);
      using memory = model.empty();
      const { used } = rt.memory();
      for (const part of [model.sample(), ...model.frames(model.sample()).slice(0, 3)]) {
        model.forward(part, memory);
        assert.equal(rt.memory().used, used);
      }
      assert.throws(() => model.forward(new Float32Array(41), memory), /41 numbers .* expected whole frames of 40/);
      assert.throws(() => model.forward(new Float32Array(), memory), /0 numbers/);
      assert.equal(rt.memory().used, used);
    }
    assert.equal(rt.memory().used, before);
  });

  it('listens, and checks itself, from the command line', async (t) => {
    if (whyNot) return t.skip(whyNot);
    const { stdout, stderr } = await runExample('mamba-kws', path, '--every', '50');
    assert.match(stdout, / 50 │ +9 │[\s\S]* 100 │ +9 │ +1\.000/);
    assert.match(stderr, /128 channels of 16 states, 10 words/);
    assert.match((await runExample('mamba-kws', path, '--check')).stdout, /prefill .* ok [\s\S]*step .* ok /);

    const folder = await mkdtemp(join(tmpdir(), 'mamba-kws-'));
    try {
      const copy = join(folder, basename(path));
      await copyFile(path, copy);
      const wrong = await readGolden(path);
      wrong[3]! += 0.01;
      await writeFile(copy.replace('.safetensors', '.numpy_logits.txt'), wrong.join('\n'));
      await assert.rejects(runExample('mamba-kws', copy, '--check'), { code: 1, stdout: /WRONG/ });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
