import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheOptions } from '../examples/llama2c/cache.ts';
import { checkGolden, compareWithFull } from '../examples/llama2c/check.ts';
import { parseCheckpoint, readCheckpoint } from '../examples/llama2c/checkpoint.ts';
import { findModel, readGolden } from '../examples/llama2c/folder.ts';
import { generate } from '../examples/llama2c/generate.ts';
import { Llama } from '../examples/llama2c/model.ts';
import { Tokenizer } from '../examples/llama2c/tokenizer.ts';
import { greedy, sampler } from '../examples/sample.ts';
import type { CacheType, KVCacheOptions } from '../src/cache/index.ts';
import type { Runtime } from '../src/index.ts';
import { stored } from './cache-cases.ts';
import { variants } from './runtimes.ts';
import { normal, randomFrom, roundToBfloat, roundToHalf } from './samples.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
const models = process.env.WATTN_MODELS ?? join(repository, '../shared/models');
const caches = (['f32', 'f16', 'bf16', 'int8'] as const).flatMap((dtype) => [{ dtype }, { dtype, pageSize: 16 }]);
const named = ({ dtype, pageSize }: Partial<KVCacheOptions>) => `${dtype}${pageSize ? `, pages of ${pageSize}` : ''}`;
const runtimes = await variants();
after(() => {
  for (const rt of runtimes) rt.dispose();
});

for (const name of ['stories260k', 'babyllama105']) {
  describe(`llama2c ${name}`, () => {
    const folder = join(models, name);
    const whyNot = existsSync(folder) ? '' : `no model at ${folder}; set WATTN_MODELS to the folder that holds ${name}`;

    it("reads llama2.c's tokens as text and back", async (t) => {
      if (whyNot) return t.skip(whyNot);
      const files = await findModel(folder);
      const { vocabSize } = (await readCheckpoint(files.checkpoint)).config;
      const tokenizer = await Tokenizer.read(files.tokenizer, vocabSize);
      const golden = await readGolden(folder, vocabSize);
      assert.deepEqual(tokenizer.encode('Once upon a time'), golden.prompt);
      const text = tokenizer.text(golden.tokens);
      assert.match(text, /^Once upon a time, there was a little girl named Lily\./);
      assert.deepEqual(tokenizer.encode(text), golden.tokens);
    });

    for (const rt of runtimes) {
      it(`continues the text with an int8 cache as with float32, for 200 tokens: ${rt.variant}`, async (t) => {
        if (whyNot) return t.skip(whyNot);
        const checkpoint = await readCheckpoint((await findModel(folder)).checkpoint);
        const { prompt } = await readGolden(folder, checkpoint.config.vocabSize);
        using model = await Llama.create(rt, checkpoint);
        const choice = { cache: 'int8', policy: 'full', budget: 64, sinks: 4, fullHeads: 1 } as const;
        using exact = model.cache();
        using cache = model.cache(cacheOptions(choice, checkpoint.config));
        const logits: Float32Array[] = [];
        const want = await generate(model, exact, prompt, 200, greedy);
        const got = await generate(model, cache, prompt, 200, greedy, undefined, (row) => logits.push(row));
        assert.equal(want.tokens.length, 200);
        // a fixed text: of stories260k's tokens the two likeliest are at times 0.004 apart, where any rounding may turn the choice
        assert.deepEqual(got.tokens, want.tokens);
        const { rows, sameTop, kl } = await compareWithFull(model, prompt, got.tokens, logits);
        assert.deepEqual([rows, sameTop], [200, 200]);
        assert.ok(kl < 5e-4, `mean KL ${kl}`);
      });

      for (const options of caches) {
        it(`agrees with llama2.c: ${rt.variant}, ${named(options)}`, async (t) => {
          if (whyNot) return t.skip(whyNot);
          const checkpoint = await readCheckpoint((await findModel(folder)).checkpoint);
          const golden = await readGolden(folder, checkpoint.config.vocabSize);
          using model = await Llama.create(rt, checkpoint);
          using cache = model.cache(options);
          const { forms, bound, greedy, passed } = await checkGolden(model, cache, golden);
          for (const { form, error } of forms) assert.ok(error <= bound, `${form}: ${error} > ${bound}`);
          if (options.dtype === 'f32') assert.equal(greedy.same, greedy.of, `greedy: ${greedy.tokens}`);
          assert.ok(passed);
        });
      }
    }
  });
}

describe('llama2c', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'llama2c-'));
  });

  after(() => rm(folder, { recursive: true }));

  for (const sharedClassifier of [true, false]) {
    it(`equals a float64 network, however the tokens are fed, with ${sharedClassifier ? 'a shared' : 'its own'} classifier`, async () => {
      const tiny = tinyLlama(sharedClassifier ? 1 : 2, sharedClassifier);
      const file = join(folder, `tiny-${sharedClassifier}.bin`);
      await writeFile(file, tiny.bytes);
      const checkpoint = await readCheckpoint(file);
      const random = randomFrom(3);
      const tokens = Array.from({ length: tiny.seqLen }, () => Math.floor(random() * tiny.vocabSize));
      for (const rt of runtimes) {
        using model = await Llama.create(rt, checkpoint);
        for (const options of caches) {
          const type = options.dtype;
          const expected = tiny.logits(tokens, type);
          // a number between two codes may round one way in float32 and the other in float64, and of two units that miss a row of int8
          // alike one may be chosen in float32 and the other in float64
          const bound = { f32: 1e-5, f16: 5e-4, bf16: 5e-4, int8: 2e-3 }[type];
          using cache = model.cache(options);
          for (const parts of [[tokens.length], tokens.map(() => 1), [7, 1, 1, 30, tokens.length - 39]]) {
            cache.clear();
            let at = 0;
            for (const count of parts) {
              const what = `${rt.variant}, ${named(options)}, ${parts}, tokens ${at} to ${at + count}`;
              const logits = await model.forward(tokens.slice(at, at + count), cache, 'all');
              assertClose(logits, expected.slice(at, at + count).flat(), bound, what);
              at += count;
            }
          }
        }
      }
    });
  }

  it('gives the last row alone as it does among all', async () => {
    const tokens = [1, 5, 9, 4, 7];
    await withTiny(async (model) => {
      using cache = model.cache();
      const all = await model.forward(tokens, cache, 'all');
      cache.clear();
      const last = await model.forward(tokens, cache);
      assertClose(last, all.slice(-last.length), 1e-6, 'last row');
    });
  });

  it('holds as much memory after each token, and none in the end', async () => {
    for (const options of caches) {
      const ends: number[] = [];
      for (let round = 0; round < 2; round++) {
        await withTiny(async (model, rt) => {
          using cache = model.cache(options);
          await model.forward([1, 5, 9, 4, 7], cache);
          await model.forward([3], cache);
          const { used } = rt.memory();
          for (let i = cache.length; i < cache.capacity; i++) {
            await model.forward([i % 5], cache);
            assert.equal(rt.memory().used, used, `${named(options)}, token ${i}`);
          }
        });
        ends.push(runtimes[0]!.memory().used);
      }
      assert.equal(ends[0], ends[1], named(options));
    }
  });

  it('generates past what a model is made for where a policy lets tokens go', async () => {
    await withTiny(async (model) => {
      for (const policy of ['streaming', 'window', 'duo'] as const) {
        const choice = { cache: 'f32', policy, budget: 12, sinks: 2, fullHeads: 1, pageSize: 4 } as const;
        using cache = model.cache(cacheOptions(choice, model.config));
        const inWords: typeof greedy = (logits) => greedy(logits.map((x, id) => (id < 3 ? -99 : x)));
        const { tokens } = await generate(
          model,
          cache,
          new Array(80).fill(5).slice(policy === 'duo' ? 60 : 0),
          90,
          inWords,
        );
        assert.equal(tokens.length, policy === 'duo' ? model.config.seqLen - 20 + 1 : 90, policy);
        if (policy !== 'duo') assert.ok(cache.held <= 12 + 4, `${policy}: ${cache.held} held`);
      }
    });
  });

  it('counts the bytes that its cache takes', async () => {
    for (const options of caches) {
      await withTiny(async (model, rt) => {
        const before = rt.memory().used;
        using cache = model.cache(options);
        const taken = rt.memory().used - before;
        const tables = cache.bytes;
        const bytes = cache.pool!.bytes + tables;
        // blocks are rounded up to 64 bytes: the pool, and a table for each of two layers
        assert.ok(taken >= bytes && taken < bytes + 64 * 3, `${named(options)}: ${taken}, not ${bytes}`);
        await model.forward(new Array(48).fill(1), cache);
        assert.equal(cache.bytes, bytes);
        assert.equal(cache.bytes - tables, 48 * cache.bytesPerToken);
      });
    }
  });

  it('says what is wrong with tokens and leaves the cache as it was', async () => {
    await withTiny(async (model) => {
      using cache = model.cache({ pageSize: 16 });
      await model.forward([1, 2], cache);
      await assert.rejects(model.forward([], cache), /no tokens were given/);
      await assert.rejects(model.forward([3, 99], cache), /token 1 is 99, expected a whole number from 0 to 18/);
      await assert.rejects(model.forward(new Array(47).fill(1), cache), /47 tokens do not fit in a cache that holds 2/);
      assert.equal(cache.length, 2);
      const { tokens } = await generate(model, cache, [3], 1000, (logits) =>
        greedy(logits.map((x, id) => (id < 3 ? -99 : x))),
      );
      assert.equal(cache.length, cache.capacity);
      assert.equal(tokens.length, cache.capacity - 2);
    });
  });

  it('says what is wrong with files', async () => {
    const broken = join(folder, 'broken');
    await mkdir(broken);
    const bytes = tinyLlama(1, true).bytes;
    await writeFile(join(broken, 'model.bin'), bytes.subarray(0, -4));
    await assert.rejects(findModel(broken), /0 tokenizers/);
    await assert.rejects(readCheckpoint(join(broken, 'model.bin')), /model\.bin is not .* bytes, expected \d+ for/);
    await writeFile(join(broken, 'model.bin'), bytes.subarray(0, 20));
    await assert.rejects(readCheckpoint(join(broken, 'model.bin')), /expected a header of 28/);
    await writeFile(join(broken, 'model.bin'), bytes.fill(5, 12, 13));
    await assert.rejects(readCheckpoint(join(broken, 'model.bin')), /expected dim to be heads times an even number/);
    await writeFile(join(broken, 'tok.bin'), vocabularyBytes([['a', 0]]));
    await assert.rejects(Tokenizer.read(join(broken, 'tok.bin'), 2), /tok\.bin is not .* of 2 pieces: it has 1 pieces/);
    await writeFile(join(broken, 'other.bin'), bytes);
    await assert.rejects(findModel(broken), /2 checkpoints/);
  });

  it('merges the pieces of the highest score first and falls back to bytes', () => {
    const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
    const pieces = ['<unk>', '<s>', '</s>', ...bytes, ' ', 'a', 'b', 'c', 'bc', 'ab', ' a'];
    const tokenizer = new Tokenizer(pieces.map((piece, id) => ({ piece, score: -id })));
    const named = (text: string) => tokenizer.encode(text).map((id) => pieces[id]);
    assert.deepEqual(named(''), ['<s>']);
    assert.deepEqual(named('abc'), ['<s>', ' a', 'bc']);
    assert.deepEqual(named('bab'), ['<s>', ' ', 'b', 'ab']);
    assert.deepEqual(named('é'), ['<s>', ' ', '<0xC3>', '<0xA9>']);
    for (const text of ['abc', ' a b', 'é\u{1f600}\n', '\ufeffa'])
      assert.equal(tokenizer.text(tokenizer.encode(text)), text);
    const plain = new Tokenizer(['<unk>', '<s>', '</s>', ' ', 'a'].map((piece) => ({ piece, score: 0 })));
    assert.deepEqual(plain.encode('aé'), [1, 3, 4, 0]);
  });

  it('draws tokens as often as the softmax says, the same for a seed', () => {
    const logits = Float32Array.of(0, 2, 1, -3);
    const draw = (temperature: number, seed: number, count: number) => {
      const pick = sampler(temperature, seed);
      return Array.from({ length: count }, () => pick(logits));
    };
    assert.deepEqual(draw(0, 1, 3), [1, 1, 1]);
    assert.deepEqual(draw(0.7, 5, 50), draw(0.7, 5, 50));
    assert.notDeepEqual(draw(0.7, 5, 50), draw(0.7, 6, 50));
    const drawn = draw(0.7, 1, 20000);
    const weights = Array.from(logits, (x) => Math.exp(x / 0.7));
    const total = weights.reduce((a, b) => a + b);
    for (const [id, weight] of weights.entries()) {
      const share = drawn.filter((x) => x === id).length / drawn.length;
      assert.ok(Math.abs(share - weight / total) < 0.015, `token ${id}: ${share}, not ${weight / total}`);
    }
    assert.throws(() => sampler(-1, 1), /temperature is -1/);
    assert.throws(() => sampler(1, 0), /seed is 0/);
  });
});

describe('the llama2c command', () => {
  let folder: string;
  const tiny = tinyLlama(1, true);
  const run = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', join(repository, 'examples/llama2c/main.ts'), folder, ...args],
      { cwd: repository },
    );

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'llama2c-'));
    await writeFile(join(folder, 'tiny.bin'), tiny.bytes);
    const pieces = ['<unk>', '<s>', '</s>', ' ', ...'abcdefghijklmno'];
    await writeFile(join(folder, 'tok19.bin'), vocabularyBytes(pieces.map((piece, id) => [piece, -id])));
  });

  after(() => rm(folder, { recursive: true }));

  it('prints the text and reports the speed', async () => {
    const { stdout, stderr } = await run('--prompt', 'bad', '--tokens', '6', '--cache', 'int8', '--page-size', '16');
    assert.match(stdout, /^bad[ a-o]{0,6}\n$/);
    assert.match(stderr, /2 layers of 24, 6\/2 heads, 19 pieces/);
    assert.match(stderr, /prefill │ +5 │/);
    assert.match(stderr, /cache: int8, 3072 bytes of pages for 48 tokens, 64 bytes a token, \d+ bytes in use/);
    assert.match(stderr, /the likeliest token is the same for \d+ of \d+, mean KL of the logits \d\.\d\de-\d/);
    const seeded = ['--prompt', 'bad', '--temperature', '1', '--seed', '4'];
    assert.equal((await run(...seeded)).stdout, (await run(...seeded)).stdout);
  });

  it('checks against golden logits and fails where they differ', async () => {
    const tokens = [1, 3, 5];
    while (tokens.length < 12) tokens.push(greedy(Float32Array.from(tiny.logits(tokens, 'f32').at(-1)!)));
    const logits = Float32Array.from(tiny.logits(tokens.slice(0, -1), 'f32').flat());
    await writeFile(join(folder, 'llama2c_golden.json'), JSON.stringify({ prompt_tokens: tokens.slice(0, 3), tokens }));
    await writeFile(join(folder, 'llama2c_logits_11x19_f32.bin'), new Uint8Array(logits.buffer));
    const { stdout } = await run('--check');
    assert.match(stdout, /prefill .* 11\/11 │ ok/);
    assert.match(stdout, /step .* 11\/11 │ ok/);
    logits[40]! += 0.01;
    await writeFile(join(folder, 'llama2c_logits_11x19_f32.bin'), new Uint8Array(logits.buffer));
    await assert.rejects(run('--check'), { code: 1, stdout: /WRONG/ });
  });

  it('says what is wrong with its options', async () => {
    await assert.rejects(run('--cache', 'f8'), { code: 1, stderr: /Allowed choices are f32, f16, bf16, int8/ });
    await assert.rejects(run('--tokens', '0'), { code: 1, stderr: /whole number/ });
    await assert.rejects(run('--prompt', 'a'.repeat(50)), {
      code: 1,
      stderr: /prompt has 52 tokens, expected at most 48/,
    });
  });
});

/** Runs `body` with a small random model on the first runtime. */
async function withTiny(body: (model: Llama, rt: Runtime) => Promise<void>): Promise<void> {
  const rt = runtimes[0]!;
  using model = await Llama.create(rt, parseCheckpoint(tinyLlama(1, true).bytes));
  await body(model, rt);
}

function assertClose(got: ArrayLike<number>, want: ArrayLike<number>, bound: number, what: string): void {
  assert.equal(got.length, want.length, what);
  const largest = Array.from(want).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i]! - want[i]!) / largest;
    if (!(error <= bound)) assert.fail(`${what}: error ${error} > ${bound} at logit ${i}: ${got[i]}, not ${want[i]}`);
  }
}

function vocabularyBytes(pieces: readonly (readonly [piece: string, score: number])[]): Uint8Array {
  const int32 = (x: number) => new Uint8Array(Int32Array.of(x).buffer);
  const float32 = (x: number) => new Uint8Array(Float32Array.of(x).buffer);
  const parts = pieces.flatMap(([piece, score]) => [
    float32(score),
    int32(Buffer.byteLength(piece)),
    Buffer.from(piece),
  ]);
  return Buffer.concat([int32(8), ...parts]);
}

/** A network in float64, and its checkpoint. */
interface TinyLlama {
  readonly vocabSize: number;
  readonly seqLen: number;
  readonly bytes: Uint8Array;
  /** Logits after each token, keys and values rounded as a cache of this type rounds them. */
  logits(tokens: readonly number[], type: CacheType): number[][];
}

/** A small network of random weights, written and computed straight from llama2.c's definition. */
function tinyLlama(seed: number, sharedClassifier: boolean): TinyLlama {
  const [dim, hidden, layers, heads, kvHeads, vocabSize, seqLen] = [24, 40, 2, 6, 2, 19, 48];
  const d = dim / heads;
  const random = randomFrom(seed);
  const blob: Float32Array[] = [];
  const weights = (count: number, rows: number, columns: number, std = columns ** -0.5) =>
    Array.from({ length: count }, () => {
      const { data } = normal(random, [rows, columns], std);
      blob.push(data);
      return Array.from({ length: rows }, (_, r) => Array.from(data.subarray(r * columns, (r + 1) * columns)));
    });
  const [embedding] = weights(1, vocabSize, dim, 1);
  const attentionNorm = weights(layers, 1, dim, 1);
  const wq = weights(layers, dim, dim);
  const wk = weights(layers, kvHeads * d, dim);
  const wv = weights(layers, kvHeads * d, dim);
  const wo = weights(layers, dim, dim);
  const ffnNorm = weights(layers, 1, dim, 1);
  const w1 = weights(layers, hidden, dim);
  const w2 = weights(layers, dim, hidden);
  const w3 = weights(layers, hidden, dim);
  const [finalNorm] = weights(1, 1, dim, 1);
  blob.push(new Float32Array(seqLen * d).fill(Number.NaN));
  const classifier = sharedClassifier ? embedding : weights(1, vocabSize, dim)[0];
  const header = Int32Array.of(dim, hidden, layers, heads, kvHeads, sharedClassifier ? vocabSize : -vocabSize, seqLen);

  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  const times = (matrix: readonly number[][], x: readonly number[]) => matrix.map((row) => dot(row, x));
  const plus = (a: readonly number[], b: readonly number[]) => a.map((x, i) => x + b[i]!);
  const norm = (x: readonly number[], [weight]: readonly number[][]) =>
    x.map((y, i) => (y / Math.sqrt(dot(x, x) / x.length + 1e-5)) * weight![i]!);
  const headsOf = (x: readonly number[]) => Array.from({ length: x.length / d }, (_, h) => x.slice(h * d, (h + 1) * d));
  const turn = (head: readonly number[], position: number) =>
    head.map((x, i) => {
      const angle = position * 10000 ** (-(i - (i % 2)) / d);
      return i % 2 === 0
        ? x * Math.cos(angle) - head[i + 1]! * Math.sin(angle)
        : x * Math.cos(angle) + head[i - 1]! * Math.sin(angle);
    });
  const rounded = (head: number[], type: CacheType): number[] => {
    if (type === 'f32') return head;
    if (type !== 'int8') return head.map(type === 'f16' ? roundToHalf : roundToBfloat);
    return Array.from(stored({ shape: [1, d], data: Float32Array.from(head) }, type).data);
  };

  function logits(tokens: readonly number[], type: CacheType): number[][] {
    const keys: number[][][][] = Array.from({ length: layers }, () => []);
    const values: number[][][][] = Array.from({ length: layers }, () => []);
    return tokens.map((token, position) => {
      let x = embedding![token]!;
      for (let l = 0; l < layers; l++) {
        const normed = norm(x, attentionNorm[l]!);
        const q = headsOf(times(wq[l]!, normed)).map((head) => turn(head, position));
        keys[l]!.push(headsOf(times(wk[l]!, normed)).map((head) => rounded(turn(head, position), type)));
        values[l]!.push(headsOf(times(wv[l]!, normed)).map((head) => rounded(head, type)));
        const attended = q.flatMap((head, h) => {
          const from = Math.floor((h * kvHeads) / heads);
          const scores = keys[l]!.map((k) => Math.exp(dot(head, k[from]!) / Math.sqrt(d)));
          const total = scores.reduce((a, b) => a + b);
          return head.map(
            (_, i) =>
              dot(
                scores,
                values[l]!.map((v) => v[from]![i]!),
              ) / total,
          );
        });
        x = plus(x, times(wo[l]!, attended));
        const a = norm(x, ffnNorm[l]!);
        const up = times(w3[l]!, a);
        const gated = times(w1[l]!, a).map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
        x = plus(x, times(w2[l]!, gated));
      }
      return times(classifier!, norm(x, finalNorm!));
    });
  }

  const bytes = Buffer.concat(
    [header, ...blob].map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength)),
  );
  return { vocabSize, seqLen, bytes, logits };
}
