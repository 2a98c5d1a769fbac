import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { page } from '../src/cli/compare/page.ts';
import { judged } from '../src/cli/compare/quality.ts';
import { compare, type Extent, type Report } from '../src/cli/compare/run.ts';
import { tables } from '../src/cli/compare/table.ts';
import { windowsOf } from '../src/cli/compare/windows.ts';
import { openZoo } from '../src/cli/compare/zoo.ts';
import { runCompare } from '../src/cli/compare.ts';
import { UnsupportedError } from '../src/index.ts';
import { ATTENTION_METHODS } from '../src/lm/index.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'wattn-compare-'));
after(() => rmSync(folder, { recursive: true }));

/** The small random models of tests/lm, with the zoo's text. */
const zoo = join(folder, 'zoo');
mkdirSync(zoo);
symlinkSync(here('lm/models'), join(zoo, 'models'));
for (const part of ['text', 'ngram.json']) symlinkSync(here(`../zoo/${part}`), join(zoo, part));

const SMALL: Extent = {
  contexts: [40, 90],
  windows: 2,
  distances: [32, 60],
  recallTexts: 2,
  context: 64,
  methodWindows: 1,
  budgets: [16],
  methodTexts: 1,
  rounds: 1,
};

/** What does not depend on time. */
const qualities = ({ models, methods, dense }: Report) => ({
  dense,
  models: models.map(({ name, lengths, recall }) => ({ name, recall, bits: lengths.map(({ bits }) => bits) })),
  methods: methods.map(({ prefill, decode, ...quality }) => quality),
});

const options = { zoo, extent: SMALL, seed: 3, runtime: { threads: 1 } };
const pieces: [number, number][] = [];
const report = await compare({ ...options, progress: (done, total) => pieces.push([done, total]) });

test('all models and methods are measured', () => {
  assert.equal(report.models.length, 10);
  assert.equal(report.methods.length, ATTENTION_METHODS.length);
  const [done, total] = pieces.at(-1)!;
  assert.equal(done, total);
  for (const { lengths, recall } of report.models) {
    assert.deepEqual(
      lengths.map(({ context }) => context),
      SMALL.contexts,
    );
    // of random weights: no better than a guess, and no worse by far
    for (const { bits, prefill, decode, bytes } of lengths) {
      assert.ok(bits > 6 && bits < 30, `${bits} bits`);
      assert.ok(prefill > 0 && decode > 0 && bytes > 0);
    }
    assert.equal(recall.length, SMALL.distances.length);
  }
  const dense = report.methods.find(({ method }) => method === 'dense')!;
  assert.ok(Math.abs(dense.loss) < 1e-5 && dense.agreement === 1);
  assert.ok(report.methods.some(({ kl }) => kl > 1e-3));
});

test('the same seed gives the same qualities', async () => {
  const again = qualities(await compare({ ...options, models: ['attention'] }));
  const all = qualities(report);
  assert.deepEqual(again, { ...all, models: all.models.filter(({ name }) => name === 'attention') });
});

test('tables name all that was measured', () => {
  const text = tables(report);
  for (const { name } of report.models) assert.ok(text.includes(name), name);
  for (const word of [
    'streamingLlm 16',
    'KiB',
    'processors',
    '5-gram model of the text that they were trained on has 1.938',
  ])
    assert.ok(text.includes(word), word);
});

test('the page has all of it, and asks for nothing', () => {
  const written = page(report, zoo);
  for (const { name } of report.models) assert.ok(written.includes(name), name);
  for (const { method } of report.methods) assert.ok(written.includes(method), method);
  assert.doesNotMatch(written, /(src|href)="(?!data:)/);
  assert.equal(written.split('<canvas').length - 1, 11);
});

test('the command prints tables and writes both files', async () => {
  const path = join(folder, 'out.html');
  const lines: string[] = [];
  await runCompare({ zoo, extent: SMALL, models: ['gla'], threads: 1, report: path }, (line) => lines.push(line));
  assert.match(lines.join('\n'), /gla/);
  assert.match(readFileSync(path, 'utf8'), /<canvas/);
  const { models, methods } = JSON.parse(readFileSync(path.replace('.html', '.json'), 'utf8')) as Report;
  assert.deepEqual([models.map(({ name }) => name), methods], [['gla'], []]);
});

test('a plan is measured among the methods', async () => {
  const layers = [0, 1, 2, 3].map((layer) => ({ layer, method: 'int8', budget: 64 }));
  const plan = JSON.stringify({ model: 'attention', layers });
  const { methods } = await compare({ ...options, models: ['attention'], plan });
  const found = (name: string) => {
    const { loss, kl, bytes } = methods.find(({ method }) => method === name)!;
    return { loss, kl, bytes };
  };
  assert.equal(methods.length, ATTENTION_METHODS.length + 1);
  assert.deepEqual(found('the plan'), found('int8'));
});

test('predictions are judged by what comes next', () => {
  // two rows over three bytes: right with 1/2, wrong with 1/4
  const rows = [0.5, 0.25, 0.25, 0.5, 0.25, 0.25].map(Math.log2);
  const window = Uint8Array.of(9, 0, 1);
  assert.deepEqual(judged(window, Float32Array.from(rows), 0), { bits: 1.5, kl: 0, agreement: 0 });
  assert.equal(judged(window, Float32Array.from(rows), 1).bits, 2);
  const other = Float32Array.from([0.25, 0.5, 0.25, 0.5, 0.25, 0.25].map(Math.log2));
  const { kl, agreement } = judged(window, Float32Array.from(rows), 0, other);
  assert.equal(agreement, 0.5);
  assert.ok(Math.abs(kl - 0.125) < 1e-6);
});

test('windows come from all documents, and none from short ones', () => {
  const text = (n: number) => ({ title: '', bytes: Uint8Array.from({ length: n }, (_, i) => i) });
  const [long, short] = [text(200), text(20)];
  const found = windowsOf([long, short, text(100)], 4, 50);
  assert.deepEqual(
    found.map((window) => [window.length, window[0]]),
    [
      [50, 0],
      [50, 0],
      [50, 75],
      [50, 25],
    ],
  );
  assert.deepEqual(windowsOf([short], 4, 50), []);
});

test('a folder without models or text is named', () => {
  assert.throws(() => openZoo(folder), UnsupportedError);
});
