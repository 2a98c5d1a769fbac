import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { Mulberry32 } from '../src/cli/compare/mulberry32.ts';
import { plainProse, recallText, sharedTexts } from '../src/cli/compare/recall.ts';
import { property } from './property.ts';

const zoo = (path: string) => readFileSync(new URL(`../zoo/${path}`, import.meta.url));
const json = (path: string) => JSON.parse(zoo(path).toString());
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const texts = json('text/index.json') as { file: string }[];
const prose = plainProse(Buffer.concat(texts.map(({ file }) => zoo(`text/${file}`))));

// Written by training/recall.py.
const expected = json('recall-cases.json') as {
  prose: { bytes: number; sha256: string };
  mulberry32: { seed: number; draws: number[] };
};

test('the generator gives the numbers of training', () => {
  const random = new Mulberry32(expected.mulberry32.seed);
  assert.deepEqual(
    expected.mulberry32.draws.map(() => random.next()),
    expected.mulberry32.draws,
  );
});

test('prose is the bytes of training', () => {
  assert.equal(prose.length, expected.prose.bytes);
  assert.equal(sha256(prose), expected.prose.sha256);
});

test('each question asks for what was told as many bytes above, once', async () => {
  const distances = fc.uniqueArray(fc.integer({ min: 9, max: 3000 }), { minLength: 1, maxLength: 8 });
  const cases = fc.tuple(fc.nat(2 ** 20), distances, fc.integer({ min: 1, max: 6 }));
  await property(cases, 200, async ([seed, distances, each]) => {
    const { text, questions, asked } = recallText(seed, prose, distances, each);
    const written = Buffer.from(text).toString('latin1');
    assert.ok(text.every((byte) => byte === 10 || (byte >= 32 && byte <= 126)));
    for (const { answer, distance } of questions) {
      const [, key, value] = /^\?([A-Z]{3})=([a-z]{3})\n$/.exec(written.slice(answer - 5, answer + 4))!;
      assert.equal(written.indexOf(`@${key}=${value}\n`) + 5, answer - distance);
      for (const mark of ['@', '?']) assert.equal(written.split(`${mark}${key}=`).length, 2);
    }
    for (const distance of distances) {
      const count = questions.filter((question) => question.distance === distance).length;
      assert.equal(count, Math.min(each, Math.floor(distance / 9)));
    }
    assert.equal(written.search(/\?[A-Z]{3}=/), asked);
    assert.equal(questions.length, written.split(/\?[A-Z]{3}=/).length - 1);
    assert.deepEqual(
      questions.map(({ answer }) => answer),
      questions.map(({ answer }) => answer).sort((a, b) => a - b),
    );
  });
});

test('a text is little longer than its largest distance, and the same for a seed', () => {
  const make = (seed: number) => recallText(seed, prose, [32, 128, 384, 768], 4);
  assert.deepEqual(make(7), make(7));
  assert.notDeepEqual(make(7).text, make(8).text);
  assert.ok(make(7).text.length < 1024, `${make(7).text.length}`);
});

test('distances share texts that are no longer than asked, and each is in one of them', async () => {
  const distances = fc.uniqueArray(fc.integer({ min: 9, max: 3000 }), { minLength: 1, maxLength: 8 });
  await property(fc.tuple(distances, fc.integer({ min: 1, max: 6 })), 200, async ([distances, each]) => {
    const texts = sharedTexts(distances, each, 1024);
    assert.deepEqual(
      texts.flat(),
      [...distances].sort((a, b) => a - b),
    );
    for (const shared of texts) {
      if (shared.length > 1) assert.ok(recallText(1, prose, shared, each).text.length <= 1024);
    }
  });
  assert.deepEqual(sharedTexts([2048, 32, 64, 128, 256, 512, 768, 1536], 4, 1024), [
    [32, 64, 128, 256, 512],
    [768],
    [1536],
    [2048],
  ]);
});
