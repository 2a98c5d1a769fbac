import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { Mulberry32 } from '../src/cli/compare/mulberry32.ts';
import { plainProse, recallCase } from '../src/cli/compare/recall.ts';
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
  cases: { seed: number; distance: number; answer: number; bytes: number; sha256: string }[];
};

test('the generator gives the numbers of training', () => {
  const random = new Mulberry32(expected.mulberry32.seed);
  assert.deepEqual(
    expected.mulberry32.draws.map(() => random.next()),
    expected.mulberry32.draws,
  );
});

test('prose and cases are the bytes of training', () => {
  assert.equal(prose.length, expected.prose.bytes);
  assert.equal(sha256(prose), expected.prose.sha256);
  assert.ok(expected.cases.length > 3);
  for (const { seed, distance, answer, bytes, sha256: hash } of expected.cases) {
    const made = recallCase(seed, prose, distance);
    assert.deepEqual([made.answer, made.text.length, sha256(made.text)], [answer, bytes, hash]);
  }
});

test('a question asks for what was told as many bytes above, once', async () => {
  await property(fc.tuple(fc.nat(2 ** 20), fc.integer({ min: 32, max: 4000 })), 200, async ([seed, distance]) => {
    const { text, answer } = recallCase(seed, prose, distance);
    const written = Buffer.from(text).toString('latin1');
    const [, key, value] = /\?([A-Z]{3})=([a-z]{3})$/.exec(written)!;
    assert.equal(answer, text.length - 3);
    assert.equal(written.indexOf(`@${key}=${value}\n`) + 5, answer - distance);
    assert.equal(written.split(`@${key}=`).length, 2);
  });
});
