/**
 * Chromium, Firefox and WebKit: the suite in pages, workers and service workers, with and without what threads need.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserKind, Page } from '../browser/browser.ts';
import { CHROMIUM, CHROMIUM_GPU } from '../browser/chromium.ts';
import { FIREFOX, FIREFOX_GPU } from '../browser/firefox.ts';
import type { PageJob } from '../browser/host.ts';
import { ISOLATED, serve } from '../browser/server.ts';
import { webkit } from '../browser/webkit.ts';
import { bundleSuite } from './bundle.ts';
import { GOLDEN_CASES, QUICK_GPU_CASES } from './cases.ts';
import { packed } from './package.ts';
import { checked, type Outcome, type Place } from './place.ts';
import type { Check, Expectation, Report } from './suite.ts';

const open = new Map<BrowserKind, Promise<Browser>>();

/** Launches a browser, once. */
function launched(kind: BrowserKind): Promise<Browser> {
  let browser = open.get(kind);
  if (!browser) {
    browser = kind.launch();
    open.set(kind, browser);
  }
  return browser;
}

/** Ends the browsers that places have launched. */
export async function closeBrowsers(): Promise<void> {
  const browsers = [...open.values()];
  open.clear();
  for (const browser of browsers) await browser.then((browser) => browser.close());
}

/** A policy without `blob:` workers. */
const STRICT = {
  'Content-Security-Policy': "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
};

/** That a page whose policy forbids WebAssembly is told what the policy must allow. */
async function checkForbidden(browser: Browser): Promise<Check> {
  return checked("a policy without 'wasm-unsafe-eval' is named", async () => {
    await using server = await serve({ 'Content-Security-Policy': "default-src 'self'" });
    const page = await browser.newPage();
    try {
      await page.open(`${server.origin}/index.html`);
      const entry = JSON.stringify(`/wattn/${packed().entries['.']}`);
      const error = (await page.evaluate(`import('/tests/host.js').then((host) => host.refusal(${entry}))`)) as string;
      assert.match(error, /^UnsupportedError: .*Content-Security-Policy must allow script-src 'wasm-unsafe-eval'/s);
      return error;
    } finally {
      await page.close();
    }
  });
}

/** A page or worker that is served. */
interface Served {
  readonly setting: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly how: 'runHere' | 'runInWorker' | 'runInServiceWorker';
  readonly expected: Expectation;
}

/** Workers that still run a while after they were told to end. */
async function remaining(workers: NonNullable<Page['workers']>): Promise<number> {
  for (let i = 0; i < 100 && workers.running > 0; ++i) await setTimeout(20);
  return workers.running;
}

function servedEntries(): Record<string, string> {
  return Object.fromEntries(Object.entries(packed().entries).map(([name, path]) => [name, `/wattn/${path}`]));
}

/** WebGPU in a page: it needs no isolation. */
async function runGpu(kind: BrowserKind, quick: boolean): Promise<Outcome> {
  await using server = await serve({});
  const browser = await launched(kind);
  const page = await browser.newPage();
  try {
    await page.open(`${server.origin}/index.html`);
    const cases = (quick ? QUICK_GPU_CASES : GOLDEN_CASES).map(({ name }) => name);
    const job = JSON.stringify({ entries: servedEntries(), cases });
    const { seen, checks } = (await page.evaluate(
      `import('/tests/host.js').then((host) => host.runGpu(${job}))`,
    )) as Report;
    return { version: browser.version, seen, checks };
  } finally {
    await page.close();
  }
}

/** The page of a browser that has WebGPU. */
function gpuPlace(kind: BrowserKind, quick: boolean): Place {
  return {
    runtime: kind.name,
    setting: 'page, WebGPU',
    quick,
    missing: () => kind.missing(),
    run: (quick = false) => runGpu(kind, quick),
  };
}

async function runServed(kind: BrowserKind, { headers, how, expected }: Served): Promise<Outcome> {
  const files: Record<string, string> = {};
  if (how === 'runInServiceWorker') {
    files['/service-worker.js'] = await bundleSuite(`
      addEventListener('install', () => skipWaiting());
      addEventListener('message', (event) => {
        const answer = (data) => event.ports[0].postMessage(data);
        event.waitUntil(run(event.data).then((report) => answer({ report }), (error) => answer({ error: String(error) })));
      });`);
  }
  await using server = await serve(headers, files);
  const browser = await launched(kind);
  const page = await browser.newPage();
  try {
    await page.open(`${server.origin}/index.html`);
    const job: PageJob = { entries: servedEntries(), cases: GOLDEN_CASES.map(({ name }) => name), expected };
    const { seen, checks } = (await page.evaluate(
      `import('/tests/host.js').then((host) => host.${how}(${JSON.stringify(job)}))`,
    )) as Report;
    const asked = await checked('nothing but the package and the tests was asked for', () => {
      const foreign = (page.requests ?? []).filter(
        (url) => !url.startsWith(`${server.origin}/`) && !/^(blob|data):/.test(url),
      );
      assert.deepEqual([...foreign, ...server.refused], []);
      return '';
    });
    const after = [asked];
    const { workers } = page;
    if (workers) {
      after.push(
        await checked('every worker ended', async () => {
          const own = how === 'runInWorker' ? 1 : 0;
          if (expected.threads === true) assert.ok(workers.started > own, 'no worker was started');
          else if (!expected.late) assert.equal(workers.started, own);
          assert.equal(await remaining(workers), 0);
          return `${workers.started} were started`;
        }),
      );
    }
    if ('Content-Security-Policy' in headers) after.push(await checkForbidden(browser));
    return { version: browser.version, seen, checks: [...checks, ...after] };
  } finally {
    await page.close();
  }
}

/** The package in a script of the page itself: one file. */
async function runFile(kind: BrowserKind, from: 'file' | 'server', expected: Expectation): Promise<Outcome> {
  const script = await bundleSuite('globalThis.run = run;');
  assert.ok(!script.includes('</script'));
  const html = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><script>${script}</script></html>`;
  const browser = await launched(kind);
  const page = await browser.newPage();
  const run = () => page.evaluate(`run(${JSON.stringify(expected)})`) as Promise<Report>;
  const folder = mkdtempSync(join(tmpdir(), 'wattn-bundle-'));
  try {
    if (from === 'file') {
      writeFileSync(join(folder, 'page.html'), html);
      await page.open(pathToFileURL(join(folder, 'page.html')).href);
      return { version: browser.version, ...(await run()) };
    }
    await using server = await serve(ISOLATED, { '/page.html': html });
    await page.open(`${server.origin}/page.html`);
    const { seen, checks } = await run();
    const asked = await checked('nothing but the page was asked for', () => {
      assert.deepEqual(server.requests, ['/page.html']);
      return '';
    });
    return { version: browser.version, seen, checks: [...checks, asked] };
  } finally {
    rmSync(folder, { recursive: true });
    await page.close();
  }
}

const NOT_ISOLATED = 'not cross-origin isolated';

/** The places of a browser; `page` is what an isolated page of it is expected to be. */
function placesOf(kind: BrowserKind, page: Expectation, quick: boolean, feature = ''): Place[] {
  const worker: Expectation = { ...page, canBlock: true };
  const served: Served[] = [
    { setting: 'page, isolated', headers: ISOLATED, how: 'runHere', expected: page },
    { setting: 'worker, isolated', headers: ISOLATED, how: 'runInWorker', expected: worker },
    {
      setting: 'page, not isolated',
      headers: {},
      how: 'runHere',
      expected: { ...page, threads: NOT_ISOLATED },
    },
    {
      setting: 'worker, not isolated',
      headers: {},
      how: 'runInWorker',
      expected: { ...worker, threads: NOT_ISOLATED },
    },
    {
      setting: 'page, isolated, policy without worker-src blob:',
      headers: { ...ISOLATED, ...STRICT },
      how: 'runHere',
      expected: page.threads === true ? { ...page, threads: 'worker-src blob:', late: true } : page,
    },
    {
      setting: 'service worker, isolated',
      headers: ISOLATED,
      how: 'runInServiceWorker',
      expected: { ...page, threads: 'a service worker' },
    },
  ];
  const common = { runtime: kind.name, quick, missing: () => kind.missing() };
  const named = (setting: string) => (feature === '' ? setting : `${setting}, ${feature}`);
  return [
    ...served.map((one) => ({ ...common, setting: named(one.setting), run: () => runServed(kind, one) })),
    {
      ...common,
      setting: named('one file, isolated'),
      run: () => runFile(kind, 'server', page),
    },
    {
      ...common,
      setting: named('one file, from file:'),
      run: () => runFile(kind, 'file', { ...page, threads: NOT_ISOLATED }),
    },
  ];
}

const page: Expectation = {
  runtime: 'browser',
  variants: ['simd', 'relaxed'],
  variantReason: 'the engine has relaxed SIMD',
  threads: true,
  canBlock: false,
};

/** Chromium, all of it in `npm test`. */
export const CHROMIUM_PLACES: readonly Place[] = [...placesOf(CHROMIUM, page, true), gpuPlace(CHROMIUM_GPU, true)];

/** Firefox. */
export const FIREFOX_PLACES: readonly Place[] = [...placesOf(FIREFOX, page, false), gpuPlace(FIREFOX_GPU, false)];

const plain: Expectation = {
  ...page,
  variants: ['simd'],
  variantReason: 'the engine has no relaxed SIMD',
  threads: 'SharedArrayBuffer is not available',
};

/** WebKit as it comes, and with features of its engine that are off by default. */
export const WEBKIT_PLACES: readonly Place[] = [
  ...placesOf(webkit(), plain, false),
  ...placesOf(
    webkit({ JSC_useSharedArrayBuffer: '1' }),
    { ...plain, threads: true },
    false,
    'SharedArrayBuffer on',
  ).filter(({ setting }) => !/not isolated|service|file/.test(setting)),
  ...placesOf(
    webkit({ JSC_useWasmRelaxedSIMD: '1' }),
    { ...plain, variantReason: "'relaxed' failed" },
    false,
    'relaxed SIMD on',
  ).slice(0, 1),
];
