import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { buildPage } from '../../demo/build.ts';
import { ISOLATED, servePage } from '../../demo/serve.ts';
import { bytesOf, continueText } from '../../examples/continue-text.ts';
import { sampler } from '../../examples/sample.ts';
import { createRuntime } from '../../src/index.ts';
import { LanguageModel, loadPlan, type Plan } from '../../src/lm/index.ts';
import { type ChromiumBrowser, launch, missingChromium } from '../browser/chromium.ts';
import { ROOT, requireBuild } from './package.ts';
import { missing } from './place.ts';

/** What the tests use of playwright's pages; its own types are not there before the runtimes are installed. */
interface Page {
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  /** Value of an expression in the page, awaited. */
  evaluate(expression: string): Promise<unknown>;
  selectOption(selector: string, value: string): Promise<unknown>;
  check(selector: string): Promise<void>;
  fill(selector: string, text: string): Promise<void>;
  click(selector: string): Promise<void>;
  focus(selector: string): Promise<void>;
  textContent(selector: string): Promise<string | null>;
  setViewportSize(size: { width: number; height: number }): Promise<void>;
  setInputFiles(selector: string, file: { name: string; mimeType: string; buffer: Buffer }): Promise<void>;
  screenshot(options: { path: string; fullPage: boolean }): Promise<unknown>;
  hover(selector: string, options: { position: { x: number; y: number } }): Promise<void>;
  workers(): readonly unknown[];
  readonly keyboard: { press(key: string): Promise<void> };
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  on(event: 'console', listener: (message: { type(): string; text(): string }) => void): void;
}

interface Context {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

interface BrowserSession {
  send(method: 'SystemInfo.getProcessInfo'): Promise<{ processInfo: { type: string; cpuTime: number }[] }>;
  detach(): Promise<void>;
}

type Contexts = ChromiumBrowser & {
  newContext(options: object): Promise<Context>;
  newBrowserCDPSession(): Promise<BrowserSession>;
};

/** Where screenshots go. */
const PICTURES = process.env.WATTN_SCREENSHOTS ?? join(tmpdir(), 'wattn-page');

/** The models that lie beside the page: small, of random weights. */
const MODELS = join(ROOT, 'tests/lm/models');

let browser: Contexts;
before(async () => {
  requireBuild();
  execFileSync('sh', [join(ROOT, 'demo/install.sh')], { stdio: 'inherit' });
  await buildPage(MODELS);
  mkdirSync(PICTURES, { recursive: true });
  if (missingChromium() === '') browser = (await launch()) as Contexts;
});
after(() => browser?.close());

interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** What went wrong in the page, and what it asked of others. */
  readonly faults: string[];
  /** Ends the server: the page is then without a network. */
  stopServer(): Promise<void>;
}

/** Opens the page, served under a path with `headers`, and waits for its first picture. */
async function open(headers: Readonly<Record<string, string>>, options: object = {}): Promise<Opened> {
  const { server, url } = await servePage(0, headers, '/under/a/path/');
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    serviceWorkers: 'block',
    reducedMotion: 'reduce',
    ...options,
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    // playwright's own remark about what it was told to block
    if (message.type() === 'error') faults.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) faults.push(request.url());
  });
  const stopServer = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const opened: Opened = {
    page,
    faults,
    stopServer,
    async [Symbol.asyncDispose]() {
      await context.close();
      await stopServer();
    },
  };
  try {
    await page.goto(url);
    await drawn(page);
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
  return opened;
}

/** Longest that anything on the page may take. */
const PATIENCE_MS = 20_000;

/** Waits until an expression holds. The page's own policy forbids to evaluate strings, so it is asked from outside. */
async function until(page: Page, expression: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      if (await page.evaluate(expression)) return;
    } catch (error) {
      // a reload takes the page away in between
      if (!/context was destroyed|navigat/i.test(String(error))) throw error;
    }
    assert.ok(performance.now() < end, `still not: ${expression}`);
    await setTimeout(25);
  }
}

/** Waits until the picture of the attention is there. */
async function drawn(page: Page): Promise<void> {
  await until(page, "document.querySelector('#notes li') !== null");
}

/** Number of different colours in a canvas, sampled. */
const colours = (selector: string) => `(() => {
  const canvas = document.querySelector('${selector}');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 0) found.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  return found.size;
})()`;

/** Pixels of a canvas within a few steps of a colour '#rrggbb'. */
const pixelsLike = (selector: string, colour: string) => `(() => {
  const canvas = document.querySelector('${selector} canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const want = [1, 3, 5].map((at) => parseInt('${colour}'.slice(at, at + 2), 16));
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 200 && want.every((c, n) => Math.abs(data[at + n] - c) < 12)) count += 1;
  }
  return count;
})()`;

/** Sets a small race up: three methods at three lengths. */
async function setRace(page: Page, methods: readonly string[], to: string): Promise<void> {
  await page.evaluate(`for (const box of document.querySelectorAll('input[name=method]')) {
    box.checked = ${JSON.stringify(methods)}.includes(box.value);
  }`);
  await page.selectOption('#from', '128');
  await page.selectOption('#to', to);
}

interface Point {
  readonly method: string;
  readonly length: number;
  readonly milliseconds: number;
  readonly bytes: number;
  readonly error?: number;
  readonly passed: boolean;
}

/** Runs a race and gives what the page measured. */
async function raceOf(page: Page): Promise<Point[]> {
  await page.click('#start');
  await until(page, "!document.querySelector('#start').disabled");
  await page.evaluate('navigator.clipboard.writeText = async (text) => { globalThis.copied = text; }');
  await page.click('#copy-results');
  return (JSON.parse((await page.evaluate('globalThis.copied')) as string) as { points: Point[] }).points;
}

test('the page, isolated: a race fills the charts with what it measured', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  const methods = ['dense', 'window', 'moba', 'gateddelta'];
  const lengths = [128, 256, 512];
  await setRace(page, methods, '512');
  const points = await raceOf(page);
  assert.equal(points.length, methods.length * lengths.length);
  for (const point of points) {
    const { method, length, milliseconds, bytes, passed } = point;
    assert.ok(passed, JSON.stringify(point));
    assert.ok(milliseconds > 0 && milliseconds < 5000, JSON.stringify(point));
    // at least the output of 4 heads of 64 channels
    assert.ok(bytes >= length * 4 * 64 * 4, JSON.stringify(point));
    // without a meaning for methods with a state, and dense attention is what the others are set against
    assert.equal(point.error !== undefined, method === 'window' || method === 'moba');
  }
  assert.ok(points.find(({ method, length }) => method === 'window' && length === 512)!.error! > 0.01);

  const strokes = (await page.evaluate(
    "[...document.querySelectorAll('#legend line')].map((line) => line.getAttribute('stroke'))",
  )) as string[];
  assert.equal(strokes.length, methods.length);
  const measures = {
    time: (p: Point) => p.milliseconds,
    memory: (p: Point) => p.bytes / 2 ** 20,
    error: (p: Point) => p.error,
  };
  for (const [chart, of] of Object.entries(measures)) {
    const [x, ...lines] = JSON.parse(
      (await page.evaluate(`document.querySelector('#${chart}-chart').dataset.points`)) as string,
    ) as (number | null)[][];
    assert.deepEqual(x, lengths);
    for (const [n, method] of methods.entries()) {
      const own = lengths.map((length) => of(points.find((p) => p.method === method && p.length === length)!) ?? null);
      // distances of 0 have no place on a logarithmic axis
      const wanted = own.map((value) => (value === 0 ? null : value));
      assert.deepEqual(lines[n], wanted, `${chart} of ${method}`);
      const pixels = (await page.evaluate(pixelsLike(`#${chart}-chart`, strokes[n]!))) as number;
      const drawn = wanted.filter((value) => value !== null).length;
      assert.ok(pixels >= 12 * drawn, `${chart} of ${method}: ${pixels} pixels for ${drawn} points`);
    }
  }
  const rows = (await page.evaluate("document.querySelectorAll('#results tbody tr').length")) as number;
  assert.equal(rows, points.length);
  assert.match((await page.textContent('#race-job .said'))!, /on 2 threads|on \d+ threads/);

  await page.click('#measure');
  await until(page, "!document.querySelector('#copy-device').disabled");
  await page.click('#copy-device');
  const report = (await page.evaluate('globalThis.copied')) as string;
  t.diagnostic(report.replaceAll('\n', '; '));
  for (const line of [
    /^user agent: .*Chrome/m,
    /^cross-origin isolated: yes$/m,
    /^variant: relaxed/m,
    /^multiply-adds.*: [1-9][\d.]* GFLOP\/s$/m,
  ]) {
    assert.match(report, line);
  }

  await page.screenshot({ path: join(PICTURES, 'light.png'), fullPage: true });
  await page.selectOption('#theme', 'dark');
  await page.screenshot({ path: join(PICTURES, 'dark.png'), fullPage: true });
  t.diagnostic(`screenshots are in ${PICTURES}`);
  assert.deepEqual(faults, []);
});

test('the page, not isolated: one thread, with the reason, and pictures of every kind', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open({});
  const { page, faults } = opened;
  await setRace(page, ['dense', 'retnet'], '256');
  const points = await raceOf(page);
  assert.equal(points.filter(({ passed }) => passed).length, 4);
  assert.match((await page.textContent('#race-job .said'))!, /on one thread/);
  assert.match((await page.textContent('#isolation'))!, /not cross-origin isolated, so wattn uses one thread/);
  assert.match((await page.textContent('#notes'))!, /1 threads?: the page is not cross-origin isolated/);

  await page.selectOption('#length', '64');
  const ids = (await page.evaluate("[...document.querySelectorAll('#method option')].map((o) => o.value)")) as string[];
  assert.ok(ids.length >= 20);
  let call = '';
  for (const id of ids) {
    await page.selectOption('#method', id);
    await until(page, `document.querySelector('#call').textContent !== ${JSON.stringify(call)}`);
    call = (await page.textContent('#call'))!;
    assert.ok(((await page.evaluate(colours('#matrix'))) as number) > 8, `the picture of ${id} is empty`);
  }
  for (const [id, note] of [
    ['bigbird', /blockMask of .*: \d+ full, \d+ partial and \d+ empty blocks/],
    ['moba', /chose blocks of 16 keys for each query, each of 4 heads its own/],
    ['topk', /chose single keys/],
  ] as const) {
    await page.selectOption('#method', id);
    await until(page, `${note}.test(document.querySelector('#pairs-note').textContent)`);
  }
  assert.deepEqual(faults, []);
});

test('the page: weights are right, with a file and with bytes', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  const buffer = Buffer.from('abcabcabc');
  await page.setInputFiles('#file', { name: 'letters.txt', mimeType: 'text/plain', buffer });
  await page.selectOption('#unit', 'bytes');
  await until(page, "document.querySelector('#counted').textContent.startsWith('9 bytes, 3 of them different')");
  await until(page, "document.querySelectorAll('#reading span').length === 9");
  // the head of single tokens: the last c gives the three of them the same weight, and the rest next to nothing
  await page.selectOption('#head', '0');
  await page.focus('#matrix');
  const weights: number[] = [];
  for (const key of ['Shift+ArrowDown', 'Home']) await page.keyboard.press(key);
  for (let column = 0; column < 9; ++column) {
    const said = (await page.textContent('#readout'))!;
    assert.match(said, new RegExp(`^“c” \\(8\\) gives “${'abc'[column % 3]}” \\(${column}\\)`));
    weights.push(Number(/weight of ([-\d.e]+)\.$/.exec(said)![1]));
    await page.keyboard.press('ArrowRight');
  }
  for (const [n, weight] of weights.entries()) {
    if (n % 3 === 2) assert.ok(Math.abs(weight - 1 / 3) < 0.02, `${weights}`);
    else assert.ok(weight >= 0 && weight < 0.02, `${weights}`);
  }
  assert.ok(Math.abs(weights.reduce((a, b) => a + b) - 1) < 2e-3, `${weights}`);
  // pointing at a place says the same; zooming changes what is drawn
  const side = (await page.evaluate("document.querySelector('#matrix').clientWidth")) as number;
  await page.hover('#matrix', { position: { x: (side * 3.5) / 9, y: (side * 6.5) / 9 } });
  assert.match((await page.textContent('#readout'))!, /^“a” \(6\) gives “a” \(3\)/);
  // a dropped file
  await page.evaluate(`(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['to be or not to be'], 'dropped.txt'));
    document.querySelector('#drop').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  })()`);
  await until(page, "document.querySelector('#counted').textContent.startsWith('18 bytes')");
  await page.selectOption('#unit', 'words');
  await until(
    page,
    "document.querySelector('#counted').textContent.startsWith('6 words and signs, 4 of them different')",
  );
  assert.deepEqual(faults, []);
});

/** Seconds of processor time that pages and their workers use within some milliseconds. */
async function rendererSeconds(milliseconds: number): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const used = async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    return processInfo.reduce((sum, { type, cpuTime }) => sum + (type === 'renderer' ? cpuTime : 0), 0);
  };
  const before = await used();
  await setTimeout(milliseconds);
  const seconds = (await used()) - before;
  await session.detach();
  return seconds;
}

test('the page: cancelling ends the work at once, and the page goes on', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  await setRace(page, ['dense', 'rebased'], '16384');
  await page.click('#start');
  await until(page, "document.querySelectorAll('#results tbody tr').length >= 2");
  // a picture is made beside the race
  await page.selectOption('#method', 'gla');
  await until(page, "document.querySelector('#call').textContent.startsWith('gla(')");
  assert.equal(await page.evaluate("document.querySelector('#start').disabled"), true);
  const begun = performance.now();
  await page.click('#race-job button');
  await until(page, "document.querySelector('#race-job .said').textContent.startsWith('Cancelled')");
  assert.ok(performance.now() - begun < 2000);
  const rows = await page.evaluate("document.querySelectorAll('#results tbody tr').length");
  // Chromium gives workers that compute, or wait for each other, two seconds each; under load it leaves one of them asleep now and then
  for (let i = 0; i < 300 && page.workers().length > 0; ++i) await setTimeout(20);
  if (page.workers().length > 0) t.diagnostic('Chromium has left an ended worker behind');
  const computed = await rendererSeconds(1000);
  assert.ok(computed < 0.2, `${computed} s of a second were computed after the work was cancelled`);
  assert.equal(await page.evaluate("document.querySelectorAll('#results tbody tr').length"), rows);
  // a picture that takes seconds, cancelled by keyboard
  await page.selectOption('#sample', '1');
  await page.selectOption('#length', '1024');
  await page.selectOption('#method', 'rebased');
  await until(page, "!document.querySelector('#picture-job .line').hidden");
  await page.focus('#picture-job button');
  await page.keyboard.press('Enter');
  await until(page, "document.querySelector('#picture-job .said').textContent.startsWith('Cancelled')");
  assert.match((await page.textContent('#call'))!, /^gla\(/);
  await page.selectOption('#length', '64');
  await page.selectOption('#method', 'window');
  await until(page, "document.querySelector('#call').textContent.includes('window')");
  await setRace(page, ['dense'], '128');
  assert.equal((await raceOf(page)).length, 1);
  assert.deepEqual(faults, []);
});

const SAID = "document.querySelector('#generate-job .said').textContent";
const GENERATED = "document.querySelector('#generated').textContent";

/** Asks the page for a text, and gives what it says at the end of it. */
async function generated(page: Page): Promise<{ said: string; text: string; report: string }> {
  await page.click('#generate-start');
  await until(page, "!document.querySelector('#generate-start').disabled");
  const [said, text] = [(await page.evaluate(SAID)) as string, (await page.evaluate(GENERATED)) as string];
  return { said, text, report: (await page.textContent('#generate-report'))! };
}

/** The same text, made here. */
async function generatedHere(prompt: string, most: number, temperature: number, plan: Plan): Promise<string> {
  using rt = await createRuntime({ threads: 1 });
  using model = LanguageModel.read(rt, readFileSync(join(MODELS, 'attention.safetensors')));
  const tokens = bytesOf(prompt);
  using sequence = model.open({ capacity: tokens.length + most, ...loadPlan(model, plan) });
  let text = prompt;
  await continueText({
    prompt: tokens,
    most,
    pick: sampler(temperature, 3),
    feed: (fed) => model.forward(fed, sequence),
    emit(piece) {
      text += piece;
    },
  });
  return text;
}

test('the page: a model of a file or beside the page continues a text, with any attention', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  const buffer = readFileSync(join(MODELS, 'attention.safetensors'));
  await page.selectOption('#model', 'own');
  assert.match((await generated(page)).said, /there is no model yet: choose a \.safetensors file/);
  await page.setInputFiles('#model-file', { name: 'small.safetensors', mimeType: '', buffer });
  assert.match((await page.textContent('#model-note'))!, /^small\.safetensors, 69 KiB, is read on this device/);
  const prompt = 'Wo Flüsse sind, the house';
  await page.fill('#prompt', prompt);
  await page.fill('#generate-bytes', '12');
  await page.fill('#temperature', '1');
  await page.fill('#seed', '3');
  const own = await generated(page);
  assert.equal(own.said, 'The text is there.');
  assert.equal(own.text, await generatedHere(prompt, 12, 1, { model: 'attention', layers: [] }));
  assert.match(own.report, /modelattention, 4 layers of 48attention0-3 its own attention/);
  assert.match(own.report, /prompt26 bytes in \d+ ms.*one by one11 bytes in \d+ ms, \d+ a second.*states\d+ KiB/);

  const layers = [0, 1, 3].map((layer) => ({ layer, method: 'window', budget: 16 }));
  const plan: Plan = { model: 'attention', layers };
  await page.selectOption('#attend', 'plan');
  assert.match((await generated(page)).said, /there is no plan yet/);
  const json = Buffer.from(JSON.stringify(plan));
  await page.setInputFiles('#plan-file', { name: 'plan.json', mimeType: 'application/json', buffer: json });
  await until(page, "document.querySelector('#plan').value !== ''");
  const planned = await generated(page);
  assert.match(planned.report, /attention0-1 window 16, 2 its own attention, 3 window 16/);
  assert.equal(planned.text, await generatedHere(prompt, 12, 1, plan));
  assert.notEqual(planned.text, own.text);
  await page.fill('#plan', '{ "model": "gla", "layers": [] }');
  assert.match((await generated(page)).said, /That did not work: the plan is for the model 'gla', not for 'attention'/);

  await page.selectOption('#attend', 'tova');
  await page.fill('#attend-budget', '8');
  assert.match((await generated(page)).said, /budget is 8, expected a whole number of keys, at least 16/);
  await page.fill('#attend-budget', '20');
  assert.match((await generated(page)).report, /attention0-3 tova 20/);
  await page.selectOption('#model', 'models/gla.safetensors');
  assert.match((await generated(page)).said, /no layer of gla attends: there is no place for tova/);
  await page.selectOption('#attend', 'own');
  assert.match((await generated(page)).report, /modelgla, 4 layers of 48attentionno layer attends/);
  assert.equal(await page.textContent('#model-note'), 'gla was fetched and is here.');
  await page.fill('#prompt', '');
  assert.match((await generated(page)).said, /the prompt is empty/);
  assert.deepEqual(faults, []);
});

test('the page: a text is cancelled between two bytes, and a picture is made beside it', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  await page.selectOption('#model', 'models/attention.safetensors');
  await page.fill('#generate-bytes', '20000');
  await page.click('#generate-start');
  await until(page, `${GENERATED}.length > 30`);
  assert.equal(await page.evaluate("document.querySelector('#generated').ariaBusy"), 'true');
  await page.selectOption('#method', 'gla');
  await until(page, "document.querySelector('#call').textContent.startsWith('gla(')");
  assert.equal(await page.evaluate("document.querySelector('#generate-start').disabled"), true);
  await page.focus('#generate-job button');
  await page.keyboard.press('Enter');
  await until(page, `${SAID}.startsWith('Cancelled')`);
  const text = (await page.evaluate(GENERATED)) as string;
  await setTimeout(200);
  assert.equal(await page.evaluate(GENERATED), text);
  await page.fill('#generate-bytes', '40');
  const { said, text: again } = await generated(page);
  assert.equal(said, 'The text is there.');
  assert.equal(text.slice(0, 30), again.slice(0, 30));
  await page.screenshot({ path: join(PICTURES, 'generated.png'), fullPage: true });
  assert.deepEqual(faults, []);
});

test('the page: by keyboard alone, and for assistive technology', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  await setRace(page, ['dense', 'window'], '128');
  const visited: string[] = [];
  for (let i = 0; i < 80; ++i) {
    await page.keyboard.press('Tab');
    const [name, outlined] = (await page.evaluate(`(() => {
      const element = document.activeElement;
      const shown = element.name === 'view' ? element.nextElementSibling : element;
      return [element.id || element.value || element.textContent.trim(), getComputedStyle(shown).outlineStyle !== 'none'];
    })()`)) as [string, boolean];
    assert.ok(outlined, `the focus on ${name} cannot be seen`);
    visited.push(name);
    if (name === 'start') break;
  }
  const order = [
    'theme',
    'sample',
    'unit',
    'file',
    'source',
    'method',
    'head',
    'length',
    'weights',
    'zoom-in',
    'matrix',
    'reading',
    'dense',
    'from',
    'start',
  ];
  assert.deepEqual(
    order.filter((name) => visited.includes(name)),
    order,
    `${visited}`,
  );
  const places = order.map((name) => visited.indexOf(name));
  assert.deepEqual(
    [...places].sort((a, b) => a - b),
    places,
    `${visited}`,
  );
  await page.keyboard.press('Enter');
  await until(page, "/^The race is over/.test(document.querySelector('#race-job .said').textContent)");
  await page.focus('#model');
  const fields: unknown[] = [];
  while (fields.length < 20 && fields.at(-1) !== 'generate-start') {
    await page.keyboard.press('Tab');
    fields.push(await page.evaluate('document.activeElement.id'));
  }
  const wanted = ['model-file', 'attend', 'prompt', 'generate-bytes', 'temperature', 'seed', 'generate-start'];
  assert.deepEqual(fields, wanted);
  await page.fill('#generate-bytes', '20');
  await page.focus('#generate-start');
  await page.keyboard.press('Enter');
  await until(page, `${SAID} === 'The text is there.'`);
  await page.focus('#matrix');
  for (const key of ['ArrowUp', 'Shift+ArrowLeft', '+', '0']) await page.keyboard.press(key);
  assert.match((await page.textContent('#readout'))!, /gives|cannot see/);

  const axe = readFileSync(createRequire(join(ROOT, 'demo/package.json')).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(axe);
  // what a page in the dark can lack besides is contrast
  for (const theme of ['light', 'dark']) {
    await page.selectOption('#theme', theme);
    const violations =
      (await page.evaluate(`axe.run(${theme === 'dark' ? "{ runOnly: ['color-contrast'] }" : ''}).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html.slice(0, 120)).join(' | ')))`)) as string[];
    assert.deepEqual(violations, [], theme);
  }
  assert.deepEqual(faults, []);
});

test('the page: nothing hangs over at 360 pixels', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open(ISOLATED, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const { page, faults } = opened;
  await setRace(page, ['dense', 'window'], '256');
  await raceOf(page);
  await page.selectOption('#attend', 'plan');
  await page.fill('#generate-bytes', '80');
  await page.selectOption('#attend', 'h2o');
  assert.equal((await generated(page)).said, 'The text is there.');
  await page.selectOption('#attend', 'plan');
  const wide = (await page.evaluate(`[...document.querySelectorAll('body *')]
    .filter((element) => !element.closest('.results, .hidden, .skip') && element.getBoundingClientRect().right > 360.5)
    .map((element) => element.outerHTML.slice(0, 80))`)) as string[];
  assert.deepEqual(wide, []);
  assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360);
  const cut = await page.evaluate(
    "[...document.querySelectorAll('.views, .fields, nav')].some((e) => e.scrollWidth > e.clientWidth)",
  );
  assert.equal(cut, false, 'something is cut off');
  await page.screenshot({ path: join(PICTURES, 'phone.png'), fullPage: true });
  assert.deepEqual(faults, []);
});

test('the page: its service worker brings threads to a host without headers, and keeps it all without a network', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await using opened = await open({}, { serviceWorkers: 'allow' });
  const { page, faults, stopServer } = opened;
  // the page reloads itself once
  await until(page, 'globalThis.crossOriginIsolated && document.querySelector("#notes li") !== null');
  assert.match((await page.textContent('#isolation'))!, /added by the page’s own service worker/);
  await page.fill('#generate-bytes', '5');
  assert.equal((await generated(page)).said, 'The text is there.');
  await stopServer();
  await page.reload();
  await drawn(page);
  // a model that was fetched is kept with the page, others are not there
  await page.fill('#generate-bytes', '5');
  assert.equal((await generated(page)).said, 'The text is there.');
  await page.selectOption('#model', 'models/gla.safetensors');
  assert.match((await generated(page)).said, /gla could not be fetched, as it was not before, and there is no network/);
  assert.equal(await page.evaluate('crossOriginIsolated'), true);
  await setRace(page, ['dense'], '128');
  const [point] = await raceOf(page);
  assert.ok(point?.passed);
  assert.match((await page.textContent('#race-job .said'))!, /on \d+ threads/);
  const manifest = (await page.evaluate(`fetch(document.querySelector('link[rel=manifest]').href)
    .then((response) => response.json())
    .then(async ({ icons, ...rest }) => ({ ...rest, icons: await Promise.all(icons.map(async ({ src }) => (await fetch(src)).ok)) }))`)) as {
    start_url: string;
    icons: boolean[];
  };
  assert.equal(manifest.start_url, './');
  assert.deepEqual(manifest.icons, [true, true, true, true]);
  // neither the check for a newer service worker nor the model that was not fetched finds a server, which is the point
  assert.deepEqual(
    faults.filter(
      (fault) => !/ERR_CONNECTION_REFUSED|offline\.js|^Failed to load resource: net::ERR_FAILED$/.test(fault),
    ),
    [],
  );
});

test('the page: without models beside it a file is asked for', async (t) => {
  if (missingChromium() !== '') return missing(t, missingChromium());
  await buildPage(join(ROOT, 'tests/lm'));
  await using opened = await open(ISOLATED);
  const { page, faults } = opened;
  assert.equal(await page.textContent('#model'), 'a file of my own');
  assert.match(
    (await page.textContent('#model-note'))!,
    /^No models lie beside this page\. Choose a \.safetensors file/,
  );
  // a dropped one, which is none
  await page.evaluate(`(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['no weights at all'], 'dropped.safetensors'));
    document.querySelector('#model-drop').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  })()`);
  assert.match((await page.textContent('#model-note'))!, /^dropped\.safetensors, 17 bytes, is read on this device/);
  const { said } = await generated(page);
  assert.match(said, /^That did not work: not a safetensors file/);
  assert.equal(await page.evaluate("document.querySelector('#generated').hidden"), true);
  assert.deepEqual(faults, []);
});
