/**
 * `npm run bench:browser [-- --now] [--json FILE]`: the packed package in an isolated page of Chromium. How much faster
 * two threads are than one, and how long a fresh page waits for its first result. Waits for a quiet machine unless told
 * `--now`; fails where a goal is missed. With `--webgpu`, on the GPU beside onnxruntime-web: bench/webgpu-browser.ts.
 *
 * @module
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { median } from '../src/cli/bench/measure.ts';
import type { Browser } from '../tests/browser/browser.ts';
import { CHROMIUM } from '../tests/browser/chromium.ts';
import { ISOLATED, serve } from '../tests/browser/server.ts';
import { compiled, packed } from '../tests/portable/package.ts';
import type { cold, Shape, threads } from './browser-page.ts';

const QUIET = 1.5;
const PATIENCE_MINUTES = 15;
const ROUNDS = 11;
const PAGES = 9;
const LONG: Shape = { T: 2048, H: 8, D: 64 };
const FIRST: Shape = { T: 128, H: 8, D: 64 };
const GOALS = { speedup: 1.7, coldMilliseconds: 150 };

/** Waits until the load of the last minute is low; returns it. */
async function quiet(): Promise<number> {
  for (let waited = 0; loadavg()[0]! >= QUIET; ++waited) {
    if (waited === PATIENCE_MINUTES * 6) {
      throw new Error(
        `the load is ${loadavg()[0]!.toFixed(2)} after ${PATIENCE_MINUTES} minutes; --now measures anyway`,
      );
    }
    await setTimeout(10_000);
  }
  return loadavg()[0]!;
}

const args = process.argv.slice(2);
if (args.includes('--webgpu')) {
  const { compareOnWebGpu } = await import('./webgpu-browser.ts');
  const won = await compareOnWebGpu(args.filter((arg) => arg !== '--webgpu'));
  process.exit(won ? 0 : 1);
}
const missing = CHROMIUM.missing();
if (missing !== '') throw new Error(`${missing} is missing: tests/runtimes/install.sh installs it`);
const module = `/wattn/${packed().entries['.']}`;
await using server = await serve(ISOLATED, { '/measure.js': compiled('../bench/browser-page.ts') });

/** What a function of browser-page.ts returns in a page of its own. */
async function inPage<T>(browser: Browser, name: string, ...rest: unknown[]): Promise<T> {
  const page = await browser.newPage();
  try {
    await page.open(`${server.origin}/index.html`);
    const list = JSON.stringify([module, ...rest]).slice(1, -1);
    return (await page.evaluate(`import('/measure.js').then((page) => page.${name}(${list}))`)) as T;
  } finally {
    await page.close();
  }
}

const load = args.includes('--now') ? loadavg()[0]! : await quiet();
let browser = await CHROMIUM.launch();
const { version } = browser;
const timings = await inPage<Awaited<ReturnType<typeof threads>>>(browser, 'threads', LONG, [1, 2], ROUNDS);
await browser.close();
const colds: Awaited<ReturnType<typeof cold>>[] = [];
for (let i = 0; i < PAGES; ++i) {
  // engines keep compiled code for pages of one process
  browser = await CHROMIUM.launch();
  colds.push(await inPage(browser, 'cold', FIRST));
  await browser.close();
}
const loadAfter = loadavg()[0]!;

const medians = timings.map(({ milliseconds }) => median(milliseconds));
const speedup = medians[0]! / medians[1]!;
const coldMilliseconds = median(colds.map(({ created, called }) => created + called));
const report = {
  browser: `Chromium ${version}`,
  processors: availableParallelism(),
  load: { before: load, after: loadAfter },
  goals: GOALS,
  speedup,
  coldMilliseconds,
  long: { ...LONG, rounds: ROUNDS, threads: timings },
  cold: { ...FIRST, pages: colds },
};
const text = `${JSON.stringify(report, undefined, 2)}\n`;
const file = args[args.indexOf('--json') + 1];
if (args.includes('--json') && file) writeFileSync(file, text);
else process.stdout.write(text);
const met = speedup >= GOALS.speedup && coldMilliseconds < GOALS.coldMilliseconds;
process.stdout.write(
  `Chromium ${version}, load ${load.toFixed(2)}: attention T ${LONG.T} H ${LONG.H} D ${LONG.D} takes ` +
    `${medians[0]!.toFixed(1)} ms on one thread, ${medians[1]!.toFixed(1)} ms on two, ${speedup.toFixed(2)}x; ` +
    `cold createRuntime ${median(colds.map(({ created }) => created)).toFixed(0)} ms + first call ` +
    `${median(colds.map(({ called }) => called)).toFixed(0)} ms = ${coldMilliseconds.toFixed(0)} ms; ` +
    `goals ${met ? 'met' : 'missed'}\n`,
);
process.exitCode = met ? 0 : 1;
