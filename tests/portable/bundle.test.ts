import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { type Browser, launch, missingChromium } from '../browser/chromium.ts';
import { ISOLATED, serve } from '../browser/server.ts';
import { BUILD, GOLDEN_CASES, missing, ROOT, report, requireBuild } from './harness.ts';
import type { Check, Expectation } from './suite.ts';

before(requireBuild);

let browser: Browser | undefined;
after(() => browser?.close());

/** Bundles an entry for the browser; esbuild fails on an import that a browser cannot resolve, `node:` ones among them. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: ROOT, sourcefile: 'entry.js' },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'bundle',
    target: 'es2022',
    minify: true,
    write: false,
    metafile: true,
    outdir: 'out',
    logLevel: 'silent',
  });
  assert.equal(outputFiles.length, 1);
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  assert.deepEqual(imports, []);
  return outputFiles[0]!.text;
}

const { exports: entries } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, { default: string } | string>;
};
for (const [name, entry] of Object.entries(entries)) {
  if (typeof entry === 'string') continue;
  test(`the entry '${name}' bundles into one file for the browser`, async (t) => {
    const text = await bundle(`export * from '${join(ROOT, entry.default)}'`);
    t.diagnostic(`${text.length} bytes, ${gzipSync(text).length} gzipped`);
    assert.doesNotMatch(text, /\b(import|require|fetch|importScripts)\s*\(/);
  });
}

/** Expression that runs the suite in a page with the bundle; the cases travel inside it. */
function suiteCall(expected: Expectation): string {
  const cases = GOLDEN_CASES.map(({ name, path }) => ({ name, base64: readFileSync(path, 'base64') }));
  return `(() => {
    const { wattn, replay, CONTROL, runSuite } = bundle;
    const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const cases = ${JSON.stringify(cases)}.map(({ name, base64 }) => ({ name, bytes: bytes(base64) }));
    return runSuite({ wattn, replay, control: CONTROL }, cases, ${JSON.stringify(expected)});
  })()`;
}

test('the bundle works from one inline script', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  browser = await launch();
  const script = await bundle(`
    export * as wattn from '${BUILD}/index.js';
    export { replay } from '${BUILD}/cli/replay.js';
    export { CONTROL } from '${BUILD}/runtime/control.js';
    export { runSuite } from '${ROOT}tests/portable/suite.ts';
  `);
  assert.ok(!script.includes('</script'));
  const html = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><script>${script}</script></html>`;
  const expected: Expectation = { runtime: 'browser', variants: ['simd', 'relaxed'], threads: true, canBlock: false };

  await t.test('on a server, isolated', async (t) => {
    await using server = await serve(ISOLATED, { '/bundle.html': html });
    const page = await browser!.newPage();
    await page.goto(`${server.origin}/bundle.html`);
    await report(t, (await page.evaluate(suiteCall(expected))) as Check[]);
    assert.deepEqual(server.requests, ['/bundle.html']);
    await page.close();
  });

  await t.test('from a file', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'wattn-bundle-'));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'bundle.html'), html);
    const page = await browser!.newPage();
    await page.goto(pathToFileURL(join(folder, 'bundle.html')).href);
    const alone = { ...expected, threads: 'not cross-origin isolated' };
    await report(t, (await page.evaluate(suiteCall(alone))) as Check[]);
    await page.close();
  });
});
