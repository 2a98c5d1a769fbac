/**
 * Builds a fixture against the packed package and opens its pages in Chromium.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type ChromiumBrowser, launch, missingChromium } from '../browser/chromium.ts';
import { ISOLATED, serveFolder } from '../browser/server.ts';
import { missing } from '../portable/place.ts';
import { BUNDLERS, copyFixture, missingTool, type Workspace, workspace } from './workspace.ts';

/** A page of a fixture. */
export interface AppPage {
  /** Its file, without .html. */
  readonly name: string;
  /** Files of WebAssembly that it asks for; by default none, as builds are inside the scripts. */
  readonly wasm?: number;
  /** Instruction set that it computes with; by default the best. */
  readonly variant?: 'simd' | 'relaxed';
}

/** What a page shows (app/report.js). */
interface Report {
  readonly attentionError: number;
  readonly cacheError: number;
  readonly picture: string;
  readonly variant: string;
  readonly threads: number;
  readonly threadsReason: string;
}

/** A fixture, copied beside the package. */
export interface App {
  readonly folder: string;
  readonly browser: ChromiumBrowser;
}

// the page sets it in a script of its own, which may run after the page has loaded
const REPORT = `new Promise((resolve) => {
  const look = () => (globalThis.report ? resolve(globalThis.report) : setTimeout(look, 10));
  look();
})`;

/** Opens a page of a server with or without isolation, checks what it shows and asks for, and returns the latter. */
export async function openPage(
  { browser }: App,
  { name, wasm = 0, variant = 'relaxed' }: AppPage,
  { origin, isolated }: { origin: string; isolated: boolean },
): Promise<readonly string[]> {
  const page = await browser.newPage();
  const [requests, complaints]: [string[], string[]] = [[], []];
  let workers = 0;
  page.on('request', (request) => requests.push(request.url()));
  page.on('worker', () => {
    workers += 1;
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(`${origin}/${name}.html`);
  const report = (await page.evaluate(REPORT)) as Report;
  await page.close();

  assert.deepEqual(complaints, []);
  assert.ok(report.attentionError < 1e-5, `attention is off by ${report.attentionError}`);
  assert.ok(report.cacheError < 1e-5, `attention of the cache is off by ${report.cacheError}`);
  assert.match(report.picture, /^data:image\/png;base64,iVBORw0KGgo\w+/);
  assert.equal(report.variant, variant);
  if (isolated) {
    assert.ok(report.threads > 1, report.threadsReason);
    assert.equal(workers, report.threads - 1);
  } else {
    assert.equal(report.threads, 1);
    assert.match(report.threadsReason, /not cross-origin isolated/);
    assert.equal(workers, 0);
  }
  const foreign = requests.filter((url) => !url.startsWith(`${origin}/`) && !/^(blob|data):/.test(url));
  assert.deepEqual(foreign, []);
  const asked = requests.filter((url) => url.endsWith('.wasm'));
  assert.equal(asked.length, wasm, `wasm was asked for: ${asked.join(', ') || 'never'}`);
  return requests;
}

/** Bytes of all files in a folder. */
const bytesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

/** What is different about a fixture. */
export interface AppOptions {
  /** Its folder, if that is not its name. */
  readonly fixture?: string;
  /** Folder whose node_modules it finds above itself. */
  readonly parent?: string;
  /** Folder that its build writes. */
  readonly dist?: string;
  /** Which of several builds it has. */
  readonly form?: string;
  readonly further?: (t: TestContext, app: App) => Promise<void>;
}

/** Builds a fixture for production and opens each of its pages isolated, the first also not; `further` tests may follow. */
export function testApp(
  name: string,
  pages: readonly AppPage[],
  { fixture = name, parent = BUNDLERS, dist = 'dist', form, further }: AppOptions = {},
): void {
  let space: Workspace | undefined;
  let browser: ChromiumBrowser | undefined;
  after(async () => {
    await browser?.close();
    space?.remove();
  });

  test(`an app of ${name}${form ? ` (${form})` : ''}`, async (t) => {
    if (name !== 'esbuild' && missingTool(t, name)) return;
    if (missingChromium() !== '') return missing(t, missingChromium());
    space = workspace(parent);
    browser = await launch();
    const app: App = { folder: copyFixture(space, fixture), browser };

    await t.test('builds without a warning', async (t) => {
      const { default: build } = (await import(pathToFileURL(join(app.folder, 'build.js')).href)) as {
        default: (form?: string) => Promise<string[]>;
      };
      const start = performance.now();
      assert.deepEqual(await build(form), []);
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      t.diagnostic(`${seconds} s, ${bytesIn(join(app.folder, dist))} bytes`);
    });

    const open = (page: AppPage, isolated: boolean) =>
      t.test(`${page.name}.html computes, ${isolated ? '' : 'not '}isolated`, async () => {
        await using server = await serveFolder(isolated ? ISOLATED : {}, join(app.folder, dist));
        await openPage(app, page, { origin: server.origin, isolated });
        assert.deepEqual(server.refused, []);
      });
    for (const page of pages) await open(page, true);
    await open(pages[0]!, false);
    await further?.(t, app);
  });
}
