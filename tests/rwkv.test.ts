import assert from 'node:assert/strict';
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { checkGolden, errorBound, readGolden } from '../examples/rwkv/golden.ts';
import { Rwkv } from '../examples/rwkv/model.ts';
import { writeSafetensors } from '../src/safetensors.ts';
import { modelAt, relativeError, runExample } from './example-models.ts';
import { variants } from './runtimes.ts';
import { randomFrom } from './samples.ts';

const runtimes = await variants();
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rwkv-'));
});

after(async () => {
  for (const rt of runtimes) rt.dispose();
  await rm(folder, { recursive: true });
});

for (const [version, name] of [
  ['RWKV-4', '4v0-660K'],
  ['RWKV-5.2', '5v2-730K'],
  ['RWKV-7', '7v0-834K'],
] as const) {
  describe(version, () => {
    const { path, whyNot } = modelAt(`rwkv-tiny/tiny-rwkv-${name}-FP32.safetensors`);
    const random = randomFrom(1);
    const text = Array.from({ length: 140 }, () => Math.floor(random() * 256));

    for (const rt of runtimes) {
      it(`agrees with rwkv.cpp: ${rt.variant}`, async (t) => {
        if (whyNot) return t.skip(whyNot);
        using model = await Rwkv.read(rt, path);
        assert.equal(model.version, version);
        const found = await checkGolden(model, await readGolden(path));
        assert.deepEqual(
          found.map(({ form }) => form),
          ['prefill', 'step'],
        );
        for (const { form, error } of found) assert.ok(error <= errorBound, `${form}: ${error} > ${errorBound}`);
      });

      it(`gives the same logits and states however a text is fed: ${rt.variant}`, async (t) => {
        if (whyNot) return t.skip(whyNot);
        using model = await Rwkv.read(rt, path);
        const feed = (parts: readonly number[]) => {
          using memory = model.empty();
          let at = 0;
          let logits: Float32Array | undefined;
          for (const count of parts) {
            logits = model.forward(text.slice(at, at + count), memory);
            at += count;
          }
          assert.equal(at, text.length);
          const states = memory.layers.flat().flatMap((part) => Object.values(part).map((state) => state.dataSync()));
          return [logits!, ...states];
        };
        const whole = feed([text.length]);
        for (const parts of [text.map(() => 1), [1, 62, 1, 70, 4, 2]]) {
          for (const [i, got] of feed(parts).entries()) {
            const error = relativeError(got, whole[i]!);
            assert.ok(error <= errorBound, `${parts}: error ${error} in ${i === 0 ? 'logits' : `state ${i - 1}`}`);
          }
        }
      });
    }

    it('holds as much memory after each token, and none in the end', async (t) => {
      if (whyNot) return t.skip(whyNot);
      const rt = runtimes[0]!;
      const before = rt.memory().used;
      {
        using model = await Rwkv.read(rt, path);
        using memory = model.empty();
        const { used } = rt.memory();
        for (const part of [text, [1], [2], text.slice(0, 2)]) {
          model.forward(part, memory);
          assert.equal(rt.memory().used, used);
        }
        assert.throws(() => model.forward([], memory), /no tokens were given/);
        assert.throws(() => model.forward([1, 256], memory), /token 1 is 256, expected a whole number from 0 to 255/);
        assert.equal(rt.memory().used, used);
      }
      assert.equal(rt.memory().used, before);
    });

    it('continues a text, and checks itself, from the command line', async (t) => {
      if (whyNot) return t.skip(whyNot);
      const { stdout, stderr } = await runExample('rwkv', path, '--prompt', 'In the ', '--tokens', '9');
      assert.match(stdout, /^In the [ -~]{9}\n$/);
      assert.match(stderr, new RegExp(`${version}, [0-9]+ layers of [0-9]+, [0-9]+ bytes of states`));
      assert.match(stderr, /prefill │ +7 │[\s\S]*decode +│ +8 │/);
      assert.match((await runExample('rwkv', path, '--check')).stdout, /prefill .* ok [\s\S]*step .* ok /);
      // what it says of wrong files does not depend on the version
      if (version !== 'RWKV-4') return;

      const copy = join(folder, basename(path));
      await copyFile(path, copy);
      await assert.rejects(runExample('rwkv', copy, '--check'), { code: 1, stderr: /no expected-logits-\*\.bin/ });
      const wrong = await readGolden(path);
      wrong[7]! += 0.01;
      await writeFile(join(folder, `expected-logits-${name}.bin`), new Uint8Array(wrong.buffer));
      await assert.rejects(runExample('rwkv', copy, '--check'), { code: 1, stdout: /WRONG/ });
    });
  });
}

describe('RWKV weights', () => {
  it('of an unknown version or another shape are refused, and leave nothing behind', async () => {
    const rt = runtimes[0]!;
    const { used } = rt.memory();
    const file = join(folder, 'broken.safetensors');
    const write = (weights: Readonly<Record<string, number[]>>) => {
      const tensors = Object.entries(weights).map(([name, shape]) => {
        const data = new Float32Array(shape.reduce((product, n) => product * n, 1));
        return [name, { dtype: 'F32' as const, shape, data }] as const;
      });
      return writeFile(file, writeSafetensors({ tensors: new Map(tensors) }));
    };
    await write({ 'emb.weight': [9, 4] });
    await assert.rejects(Rwkv.read(rt, file), /expected a weight blocks\.0\.att\.time_first \(RWKV-4\) or /);
    const layer = { 'blocks.0.att.time_first': [4], 'blocks.0.ln1.weight': [4], 'blocks.0.ln1.bias': [3] };
    await write({ 'emb.weight': [9, 4], ...layer });
    await assert.rejects(
      Rwkv.read(rt, file),
      /blocks\.0\.ln1\.bias is F32 of shape \[3\], expected F32 or I8 of shape \[4\]/,
    );
    await write({ 'emb.weight': [9, 4], ...layer, 'blocks.0.ln1.bias': [4] });
    await assert.rejects(Rwkv.read(rt, file), /broken\.safetensors has no weight blocks\.0\.ln2\.weight/);
    assert.equal(rt.memory().used, used);
  });
});
