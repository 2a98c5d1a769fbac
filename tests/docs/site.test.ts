// The site: built without a warning, no link of it broken, usable from a file in Chromium.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../../scripts/docs/entries.ts';
import { OPS } from '../../src/ops/registry.ts';
import { type ChromiumBrowser, launch, missingChromium } from '../browser/chromium.ts';
import { missing } from '../portable/place.ts';

const SITE = join(ROOT, 'docs/site');

before(() => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/docs/build.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

let browser: ChromiumBrowser | undefined;
after(() => browser?.close());

/** Text of each page of the site, by its path. */
function pages(): Map<string, string> {
  const files = readdirSync(SITE, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.html'));
  return new Map(files.map((name) => [join(SITE, name), readFileSync(join(SITE, name), 'utf8')]));
}

const unescaped = (text: string) => text.replaceAll('&amp;', '&').replaceAll('&#x27;', "'").replaceAll('&quot;', '"');

test('no link is broken, and none leads outside', () => {
  const texts = pages();
  assert.ok(texts.size > 500, `${texts.size} pages`);
  const ids = new Map<string, Set<string>>();
  const idsOf = (path: string) => {
    let known = ids.get(path);
    if (!known) {
      known = new Set(Array.from(texts.get(path)!.matchAll(/ id="([^"]*)"/g), ([, id]) => unescaped(id!)));
      ids.set(path, known);
    }
    return known;
  };
  const broken: string[] = [];
  let links = 0;
  for (const [path, text] of texts) {
    for (const [, raw] of text.matchAll(/ (?:href|src)="([^"]*)"/g)) {
      links += 1;
      const link = unescaped(raw!);
      if (/^(data|javascript):/.test(link)) continue;
      const [file, anchor] = link.split('#') as [string, string | undefined];
      const target = file === '' ? path : resolve(dirname(path), decodeURIComponent(file));
      const found = !/^\w+:|^\//.test(link) && existsSync(target);
      const named =
        anchor === undefined ||
        anchor === '' ||
        !target.endsWith('.html') ||
        !found ||
        idsOf(target).has(decodeURIComponent(anchor));
      if (!found || !named) broken.push(`${relative(SITE, path)}: ${link}`);
    }
  }
  assert.ok(links > 10000, `${links} links`);
  assert.deepEqual([...new Set(broken)], []);
});

test('every method has a page with an example', () => {
  for (const { name } of OPS) {
    const path = join(SITE, 'functions', `wattn.${name}.html`);
    assert.match(readFileSync(path, 'utf8'), />Example</, name);
  }
});

test('from a file: a page is found by search, in light and dark, on a phone, and nothing is asked of the network', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  browser = await launch();
  const faults: string[] = [];
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 390, height: 800 } });
    page.on('pageerror', (error) => faults.push(`${error}`));
    page.on('request', (request) => {
      if (!/^(file|data|blob):/.test(request.url())) faults.push(request.url());
    });
    for (const name of ['index', 'documents/All_methods', 'documents/Quick_start', 'functions/wattn.gatedDeltaRule']) {
      await page.goto(pathToFileURL(join(SITE, `${name}.html`)).href);
      const wide = (await page.evaluate('document.documentElement.scrollWidth')) as number;
      if (wide > 390) faults.push(`${name} is ${wide} pixels wide on a phone`);
    }
    const background = (await page.evaluate('getComputedStyle(document.body).backgroundColor')) as string;
    const light =
      background
        .match(/\d+/g)!
        .slice(0, 3)
        .reduce((sum, part) => sum + Number(part), 0) >
      3 * 128;
    assert.equal(light, colorScheme === 'light', background);
    const found = (await page.evaluate(`(async () => {
      document.querySelector('#tsd-search-trigger').click();
      const until = async (look) => {
        for (let i = 0; i < 200; ++i) {
          const found = look();
          if (found) return found;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      };
      const input = await until(() => document.querySelector('#tsd-search-input'));
      await until(() => !document.querySelector('#tsd-search-status')?.textContent);
      input.value = 'kimi';
      input.dispatchEvent(new Event('input', { bubbles: true }));
      const result = await until(() => document.querySelector('#tsd-search-results a'));
      return result && result.textContent;
    })()`)) as string | undefined;
    assert.match(found ?? 'nothing', /kda/i);
    await page.close();
  }
  assert.deepEqual(faults, []);
});
