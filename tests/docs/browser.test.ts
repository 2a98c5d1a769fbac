// What the pages say of browsers, in Chromium: their HTML, content security policies, service workers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ChromiumBrowser, type ChromiumPage, launch, missingChromium } from '../browser/chromium.ts';
import { ISOLATED, type Server, serve } from '../browser/server.ts';
import { packed } from '../portable/package.ts';
import { missing } from '../portable/place.ts';
import { pageSamples } from './samples.ts';

let browser: ChromiumBrowser | undefined;
before(async () => {
  packed();
  if (missingChromium() === '') browser = await launch();
});
after(() => browser?.close());

/** What attention gave in a page, and on how many threads and why; or the error. */
interface Outcome {
  readonly first?: number;
  readonly threads?: number;
  readonly reason?: string;
  readonly error?: string;
  readonly message?: string;
}

const CALL = `async ({ attention, createRuntime }) => {
  try {
    const rt = await createRuntime();
    await rt.ready();
    const x = rt.tensor(new Float32Array(64 * 2 * 16).fill(0.5), [1, 64, 2, 16]);
    const { o } = await attention({ q: x, k: x, v: x });
    const first = (await o.data())[0];
    const { threads, threadsReason: reason } = rt.info();
    rt.dispose();
    return { first, threads, reason };
  } catch ({ name, message }) {
    return { error: name, message };
  }
}`;

/** Runs a body in a page that is served with headers. */
async function inPage<T>(
  headers: Readonly<Record<string, string>>,
  body: (page: ChromiumPage, server: Server) => Promise<T>,
  pages: Readonly<Record<string, string>> = {},
): Promise<T> {
  await using server = await serve(headers, pages);
  const page = await browser!.newPage();
  try {
    return await body(page, server);
  } finally {
    await page.close();
  }
}

for (const sample of pageSamples().filter(({ language }) => language === 'html')) {
  test(`the page of ${sample.file}:${sample.line} works`, async (t) => {
    if (missingChromium() !== '') return missing(t, missingChromium());
    const html = sample.code.replaceAll('./node_modules/wattn/', '/wattn/');
    for (const headers of [ISOLATED, {}]) {
      const [lines, requests] = await inPage(
        headers,
        async (page, { origin, requests }) => {
          const lines: string[] = [];
          page.on('pageerror', (error) => lines.push(`${error}`));
          const said = new Promise<void>((resolve) => {
            page.on('console', (message) => {
              lines.push(message.text());
              resolve();
            });
            page.on('pageerror', () => resolve());
          });
          await page.goto(`${origin}/sample.html`);
          await said;
          return [lines, requests] as const;
        },
        { '/sample.html': html },
      );
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0]!, /^1 x 64 x 2 x 16 /);
      if (html.includes('external.js')) {
        assert.match(lines[0]!, headers === ISOLATED ? / relaxed-shared$/ : / relaxed$/);
        assert.equal(requests.filter((path) => path.endsWith('.wasm')).length, 1);
      } else
        assert.match(lines[0]!, headers === ISOLATED ? / \d+ \d+ processors, / : / 1 the page is not cross-origin/);
    }
  });
}

const ALL = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:";
const policies: readonly [title: string, policy: string, check: (outcome: Outcome) => void][] = [
  ['the policy that the quick start names runs on all threads', ALL, ({ threads }) => assert.ok(threads! > 1)],
  [
    'without wasm-unsafe-eval the error says so',
    "default-src 'none'; script-src 'self'; worker-src blob:",
    ({ error, message }) => {
      assert.equal(error, 'UnsupportedError');
      assert.match(message!, /script-src 'wasm-unsafe-eval'/);
    },
  ],
  [
    'without worker-src there is one thread, and the reason',
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'",
    ({ threads, reason }) => {
      assert.equal(threads, 1);
      assert.match(reason!, /worker-src blob:/);
    },
  ],
  [
    'trusted types leave one thread, and the reason',
    `${ALL}; require-trusted-types-for 'script'`,
    ({ threads, reason }) => {
      assert.equal(threads, 1);
      assert.match(reason!, /^workers could not be started: .*TrustedScriptURL/);
    },
  ],
];

for (const [title, policy, check] of policies) {
  test(`Content-Security-Policy: ${title}`, async (t) => {
    if (missingChromium() !== '') return missing(t, missingChromium());
    const outcome = await inPage({ ...ISOLATED, 'Content-Security-Policy': policy }, async (page, { origin }) => {
      await page.goto(`${origin}/index.html`);
      return (await page.evaluate(`import('/wattn/build/index.js').then(${CALL})`)) as Outcome;
    });
    if (outcome.error === undefined) assert.ok(Math.abs(outcome.first! - 0.5) < 1e-6);
    check(outcome);
  });
}

test('a service worker runs on one thread, and says why', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  const worker = `import * as wattn from '/wattn/build/index.js';
    onmessage = (event) => event.waitUntil((${CALL})(wattn).then((outcome) => event.source.postMessage(outcome)));`;
  const call = `(async () => {
    const { serviceWorker } = navigator;
    const answer = new Promise((resolve) => { serviceWorker.onmessage = ({ data }) => resolve(data); });
    await serviceWorker.register('/sw.js', { type: 'module' });
    (await serviceWorker.ready).active.postMessage('go');
    return answer;
  })()`;
  const outcome = await inPage(
    ISOLATED,
    async (page, { origin }) => {
      await page.goto(`${origin}/index.html`);
      return (await page.evaluate(call)) as Outcome;
    },
    { '/sw.js': worker },
  );
  assert.ok(Math.abs(outcome.first! - 0.5) < 1e-6, JSON.stringify(outcome));
  assert.equal(outcome.threads, 1);
  assert.match(outcome.reason!, /^a service worker cannot start workers$/);
});

test('Cross-Origin-Embedder-Policy: credentialless isolates too', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  const headers = { ...ISOLATED, 'Cross-Origin-Embedder-Policy': 'credentialless' };
  const { threads } = await inPage(headers, async (page, { origin }) => {
    await page.goto(`${origin}/index.html`);
    return (await page.evaluate(`import('/wattn/build/index.js').then(${CALL})`)) as Outcome;
  });
  assert.ok(threads! > 1);
});

test('a service worker can add the headers of isolation where the server does not', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  const worker = `onactivate = (event) => event.waitUntil(clients.claim());
    onfetch = (event) => event.respondWith(fetch(event.request).then((response) => {
      const headers = new Headers(response.headers);
      for (const [name, value] of Object.entries(${JSON.stringify(ISOLATED)})) headers.set(name, value);
      return new Response(response.body, { status: response.status, headers });
    }));`;
  const register = `(async () => {
    await navigator.serviceWorker.register('/sw.js');
    await navigator.serviceWorker.ready;
    while (!navigator.serviceWorker.controller) await new Promise((resolve) => setTimeout(resolve, 10));
  })()`;
  const { threads } = await inPage(
    {},
    async (page, { origin }) => {
      await page.goto(`${origin}/index.html`);
      await page.evaluate(register);
      await page.goto(`${origin}/index.html`);
      return (await page.evaluate(`import('/wattn/build/index.js').then(${CALL})`)) as Outcome;
    },
    { '/sw.js': worker },
  );
  assert.ok(threads! > 1);
});
