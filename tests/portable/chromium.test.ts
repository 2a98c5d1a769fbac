import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type Browser, launch, missingChromium, type Page } from '../browser/chromium.ts';
import type { attend, PageJob } from '../browser/host.ts';
import { ISOLATED, serve } from '../browser/server.ts';
import { GOLDEN_CASES, missing, report, requireBuild } from './harness.ts';
import type { Check, Expectation } from './suite.ts';

let browser: Browser;
before(async () => {
  requireBuild();
  if (missingChromium() === '') browser = await launch();
});
after(() => browser?.close());

const NOT_ISOLATED = 'not cross-origin isolated';
const page: Expectation = { runtime: 'browser', variants: ['simd', 'relaxed'], threads: true, canBlock: false };
const worker: Expectation = { ...page, canBlock: true };

/** Runs the suite in a page that is served with `headers`; checks what the page asked for. */
async function runPage(
  headers: Readonly<Record<string, string>>,
  how: 'runHere' | 'runInWorker',
  expected: Expectation,
) {
  await using server = await serve(headers);
  const page = await browser.newPage();
  const foreign: string[] = [];
  let workers = 0;
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${server.origin}/`) && !/^(blob|data):/.test(url)) foreign.push(url);
  });
  page.on('worker', () => {
    workers += 1;
  });
  await page.goto(`${server.origin}/index.html`);
  const job: PageJob = { cases: GOLDEN_CASES.map(({ name }) => name), expected };
  const checks = (await page.evaluate(
    `import('/tests/host.js').then((host) => host.${how}(${JSON.stringify(job)}))`,
  )) as Check[];
  const done = { foreign, refused: server.refused, workers, left: await remaining(page) };
  await page.close();
  return { checks, ...done };
}

/** Workers that still run a while after they were told to end. */
async function remaining(page: Page): Promise<number> {
  for (let i = 0; i < 100 && page.workers().length > 0; ++i) await setTimeout(20);
  return page.workers().length;
}

const settings = [
  { name: 'page, isolated', headers: ISOLATED, how: 'runHere', expected: page },
  { name: 'worker, isolated', headers: ISOLATED, how: 'runInWorker', expected: worker },
  { name: 'page, not isolated', headers: {}, how: 'runHere', expected: { ...page, threads: NOT_ISOLATED } },
  { name: 'worker, not isolated', headers: {}, how: 'runInWorker', expected: { ...worker, threads: NOT_ISOLATED } },
] as const;

for (const { name, headers, how, expected } of settings) {
  test(`Chromium: ${name}`, async (t) => {
    if (missingChromium() !== '') return missing(t, missingChromium());
    const { checks, foreign, refused, workers, left } = await runPage(headers, how, expected);
    await report(t, checks);
    await t.test('nothing but the package and the tests was asked for', () =>
      assert.deepEqual([...foreign, ...refused], []),
    );
    await t.test('every worker ended', () => {
      const own = how === 'runInWorker' ? 1 : 0;
      if (expected.threads === true) assert.ok(workers > own, 'no worker was started');
      else assert.equal(workers, own);
      assert.equal(left, 0);
    });
  });
}

test('Chromium: a policy that forbids blob workers leaves one thread, and says so', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using server = await serve({
    ...ISOLATED,
    'Content-Security-Policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'",
  });
  const page = await browser.newPage();
  await page.goto(`${server.origin}/index.html`);
  const { o, threads, reason } = (await page.evaluate(
    "import('/tests/host.js').then((host) => host.attend({ threads: 2 }))",
  )) as Awaited<ReturnType<typeof attend>>;
  await page.close();
  t.diagnostic(reason);
  assert.ok(Math.abs(o - 0.5) < 1e-4, `o is ${o}`);
  assert.equal(threads, 1);
  assert.match(reason, /worker-src blob:/);
});
