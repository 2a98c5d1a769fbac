/**
 * `npm run bench:browser -- --webgpu [names...] [--shape T=512,H=8] [--rounds N] [--json FILE]`: wattn beside onnxruntime-web's WebGPU
 * build in one page of Chromium, on its software adapter. Fails where a result of wattn is wrong, or onnxruntime-web is faster on the GPU.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import type { Shape } from '../src/cli/bench/gpu/case.ts';
import { shapeOf } from '../src/cli/bench/gpu/shape.ts';
import { CHROMIUM_GPU } from '../tests/browser/chromium.ts';
import { ROOT } from '../tests/portable/package.ts';
import type { ContendedCase } from './webgpu-page.ts';

const NAMES = ['attention', 'attention-causal', 'linear', 'simple-gla', 'gla', 'gated-delta', 'gemm'];
const TYPES: Readonly<Record<string, string>> = { html: 'text/html', mjs: 'text/javascript', wasm: 'application/wasm' };

/** The page, its script, and onnxruntime-web as it is installed. */
async function serve(script: string) {
  const dist = join(ROOT, 'node_modules/onnxruntime-web/dist');
  const server = createServer(({ url }, response) => {
    const path = normalize(new URL(url!, 'http://localhost').pathname);
    let body: string | Uint8Array;
    if (path === '/index.html') body = '<!doctype html><title>bench</title><link rel="icon" href="data:,">';
    else if (path === '/bench.mjs') body = script;
    else if (path.startsWith('/ort/')) body = readFileSync(join(dist, path.slice(5)));
    else return void response.writeHead(404).end();
    const type = TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
    response
      .writeHead(200, {
        'Content-Type': type,
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
      })
      .end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

function lines({ name, shape, contenders }: ContendedCase): string[] {
  const lengths = Object.entries(shape).map(([axis, n]) => `${axis}${n}`);
  const mine = contenders[0]!.timing;
  return contenders.map(({ name: who, timing, check, refused }) => {
    const label = `${name.padEnd(18)} ${lengths.join(' ').padEnd(16)} ${who.padEnd(42)}`;
    if (!timing) return `${label} ${refused ?? `WRONG: ${check?.reason}`}`;
    const ratio = mine ? `${(timing.median / mine.median).toFixed(2)}x` : '';
    return `${label} ${timing.median.toFixed(2).padStart(9)} ms ${ratio.padStart(8)}  error ${check!.error.toExponential(1)}`;
  });
}

/** Whether wattn is right, and faster than every contender that is right and runs on the GPU. */
function won({ contenders: [mine, ...others] }: ContendedCase): boolean {
  if (!mine?.timing) return false;
  return others.every(({ timing, onGpu }) => !timing || !onGpu || timing.median > mine.timing!.median);
}

/** Runs the comparison. */
export async function compareOnWebGpu(args: string[]): Promise<boolean> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { shape: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'string' } },
  });
  const missing = CHROMIUM_GPU.missing();
  if (missing !== '') throw new Error(`${missing} is missing: tests/runtimes/install.sh installs it`);
  const shape: Shape = values.shape === undefined ? {} : shapeOf(values.shape);
  const effort = { rounds: Number(values.rounds ?? 7), batch: 300 };
  const bundled = await build({
    entryPoints: [join(ROOT, 'bench/webgpu-page.ts')],
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    keepNames: true,
    write: false,
  });
  const { origin, close } = await serve(bundled.outputFiles[0]!.text);
  const browser = await CHROMIUM_GPU.launch();
  const cases: ContendedCase[] = [];
  let gpu: unknown;
  try {
    for (const name of positionals.length > 0 ? positionals : NAMES) {
      // a page of its own: no case finds what another one left
      const page = await browser.newPage();
      await page.open(`${origin}/index.html`);
      gpu ??= await page.evaluate(`import('/bench.mjs').then((page) => page.gpuName())`);
      const given = [`${origin}/ort/ort.webgpu.min.mjs`, name, shape, effort].map((each) => JSON.stringify(each));
      const one = await page.evaluate(`import('/bench.mjs').then((page) => page.contend(${given.join(', ')}))`);
      cases.push(one as ContendedCase);
      process.stdout.write(`${lines(one as ContendedCase).join('\n')}\n`);
      await page.close();
    }
  } finally {
    await browser.close();
    close();
  }
  if (values.json) writeFileSync(values.json, `${JSON.stringify({ browser: browser.version, gpu, cases }, null, 2)}\n`);
  const lost = cases.filter((one) => !won(one)).map(({ name }) => name);
  process.stdout.write(
    `Chromium ${browser.version}: faster than onnxruntime-web in ${cases.length - lost.length} of ${cases.length} cases` +
      `${lost.length > 0 ? `, not in ${lost.join(', ')}` : ''}\n`,
  );
  return lost.length === 0;
}
