import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Encoder } from '../examples/semantic-search/encoder.ts';
import { methods } from '../examples/semantic-search/methods.ts';
import { splitSentences } from '../examples/semantic-search/sentences.ts';
import { Tokenizer } from '../examples/semantic-search/tokenizer.ts';
import { type EncoderWeights, loadVocabulary, loadWeights } from '../examples/semantic-search/weights.ts';
import { createRuntime, type Runtime } from '../src/index.ts';
import { useLite } from './reference/use-lite.ts';

interface Golden {
  sentences: string[];
  tokens: number[][];
  embeddings: number[][];
}

const repository = fileURLToPath(new URL('..', import.meta.url));
const goldenFile = process.env.WATTN_USE_LITE_GOLDEN ?? join(repository, '../shared/models/use-lite/golden.json');
const whyNoGolden = existsSync(goldenFile)
  ? false
  : `no golden embeddings at ${goldenFile}; set WATTN_USE_LITE_GOLDEN to their path`;
const dense = methods[0]!;

describe('semantic search', () => {
  let weights: EncoderWeights;
  let tokenizer: Tokenizer;
  let rt: Runtime;
  let encoder: Encoder;

  before(async () => {
    weights = await loadWeights();
    tokenizer = new Tokenizer(await loadVocabulary());
    rt = await createRuntime();
    encoder = await Encoder.create(rt, weights);
  });

  after(() => rt.dispose());

  it('gives the golden token ids and embeddings', async (t) => {
    if (whyNoGolden) return t.skip(whyNoGolden);
    const golden = JSON.parse(await readFile(goldenFile, 'utf8')) as Golden;
    const tokens = golden.sentences.map((sentence) => tokenizer.encode(sentence));
    assert.deepEqual(tokens, golden.tokens);
    const embeddings = await encoder.embed(tokens, dense);
    for (const [index, expected] of golden.embeddings.entries()) {
      assert.ok(largestDifference(embeddings[index]!, expected) < 1e-4, golden.sentences[index]);
      assert.ok(
        largestDifference(useLite(weights, tokens[index]!), expected) < 1e-5,
        `reference: ${golden.sentences[index]}`,
      );
    }
  });

  it('equals the float64 reference, whatever else is in the batch', async () => {
    const long = Array.from({ length: 40 }, (_, i) => `word ${i} of a sentence that is cut`).join(' ');
    const sentences = [
      'Whale!',
      'Call me Ishmael.',
      long,
      'It is a way I have of driving off the spleen and regulating the circulation.',
    ];
    const tokens = sentences.map((sentence) => tokenizer.encode(sentence));
    assert.ok(tokens[2]!.length > 128);
    const embeddings = await encoder.embed(tokens, dense);
    for (const [index, ids] of tokens.entries())
      assert.ok(largestDifference(embeddings[index]!, useLite(weights, ids)) < 1e-4, sentences[index]);
  });

  it('gives unit vectors near the dense ones with every method, and the dense ones where a window covers the sentence', async () => {
    const tokens = ['Ahab paced the deck at night.', 'The sailors dropped their work and gathered round.'].map(
      (sentence) => tokenizer.encode(sentence),
    );
    const expected = await encoder.embed(tokens, dense);
    for (const method of methods) {
      const embeddings = await encoder.embed(tokens, method);
      const tolerance = /±(32|16)/.test(method.name) ? 1e-5 : 1;
      for (const [index, embedding] of embeddings.entries()) {
        assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-5, method.name);
        assert.ok(largestDifference(embedding, expected[index]!) < tolerance, method.name);
      }
    }
  });

  it('leaves no tensor behind', async () => {
    const tokens = [tokenizer.encode('There she blows!')];
    for (const method of methods) {
      await encoder.embed(tokens, method);
      const before = rt.memory();
      await encoder.embed(tokens, method);
      assert.deepEqual(rt.memory(), before, method.name);
    }
  });

  it('refuses a sentence without tokens', async () => {
    await assert.rejects(encoder.embed([[5], []], dense), /Sentence 1 has no tokens/);
  });

  it('splits text into sentences at blank lines and full stops, not after titles', () => {
    const text = 'LOOMINGS\n\nI met Mr. Starbuck. He was\nchief mate.\n\n* * *\n\n"Aye," said he.';
    assert.deepEqual(splitSentences(text), [
      'LOOMINGS',
      'I met Mr. Starbuck.',
      'He was chief mate.',
      '"Aye," said he.',
    ]);
  });
});

describe('the semantic search command', () => {
  const run = (...args: string[]) =>
    promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', join(repository, 'examples/semantic-search/main.ts'), ...args],
      { cwd: repository },
    );
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'semantic-search-'));
  });

  after(() => rm(folder, { recursive: true }));

  it('answers queries about a given text and prints every method', async () => {
    const file = join(folder, 'own.txt');
    await writeFile(
      file,
      'The cat slept on the warm sofa. Interest rates rose again in March. He baked two loaves of bread.',
    );
    const { stdout, stderr } = await run('--text', file, '--query', 'Financial news.', '--top', '1', '--rounds', '1');
    assert.match(stdout, /own\.txt: 3 sentences/);
    assert.match(stdout, /\? Financial news\.\n {2}0\.\d{3} {2}Interest rates rose again in March\.\n/);
    for (const { name } of methods) assert.ok(stdout.includes(name), name);
    assert.match(stdout, /dense +│ +1\.00000 │ +1\.00000 │ +1\/1/);
    assert.match(stderr, /done in/);
  });

  it('says what is wrong with its input', async () => {
    await assert.rejects(run('--text', join(folder, 'absent.txt')), { code: 1, stderr: /error: .*absent\.txt/ });
    await writeFile(join(folder, 'blank.txt'), '\n\n');
    await assert.rejects(run('--text', join(folder, 'blank.txt')), { code: 1, stderr: /No sentence found/ });
    await assert.rejects(run('--top', '0'), { code: 1, stderr: /whole number/ });
    await assert.rejects(run('--query', ''), { code: 1, stderr: /Query 1 is empty/ });
  });
});

function largestDifference(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  return Array.from(got).reduce((largest, value, index) => Math.max(largest, Math.abs(value - expected[index]!)), 0);
}
