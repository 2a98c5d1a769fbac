/**
 * Runtimes of edge platforms: workerd, which takes precompiled modules only, and edge-runtime.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { bundleSuite } from './bundle.ts';
import { packed, ROOT } from './package.ts';
import { checked, type Outcome, type Place } from './place.ts';
import { EVERYWHERE } from './processes.ts';
import type { Expectation, Report } from './suite.ts';

const WORKERD = join(EVERYWHERE, '@cloudflare/workerd-linux-64/bin/workerd');
const BUILDS = ['simd', 'relaxed'];

const CONFIG = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .main) ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "main") ],
);
const main :Workerd.Worker = (
  modules = [
    (name = "main.js", esModule = embed "main.js"),
    ${BUILDS.map((build) => `(name = "${build}.wasm", wasm = embed "${build}.wasm")`).join(',\n    ')}
  ],
  compatibilityDate = "2026-11-01",
);
`;

/** The port that workerd says it listens on. */
async function portOf(server: ChildProcess): Promise<number> {
  let errors = '';
  server.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.on('exit', (code) => reject(new Error(`workerd ended with code ${code}: ${errors}`)));
    (server.stdio[3] as Readable).on('data', (data: Buffer) => {
      const { port } = JSON.parse(data.toString().split('\n')[0]!) as { port?: number };
      if (port !== undefined) resolve(port);
    });
  });
}

async function runWorkerd(expected: Expectation): Promise<Outcome> {
  const main = await bundleSuite(
    `${BUILDS.map((build) => `import ${build} from './${build}.wasm';`).join('\n')}
    import { createRuntime } from 'wattn';
    export default {
      async fetch(request) {
        const report = await run(await request.json(), { modules: { ${BUILDS} } });
        const refusal = await createRuntime().then(() => '', ({ name, message }) => name + ': ' + message);
        return Response.json({ report, refusal });
      },
    };`,
    'wattn/external',
    { format: 'esm', external: BUILDS.map((build) => `./${build}.wasm`) },
  );
  const folder = mkdtempSync(join(tmpdir(), 'wattn-workerd-'));
  writeFileSync(join(folder, 'main.js'), main);
  writeFileSync(join(folder, 'config.capnp'), CONFIG);
  const { root, entries } = packed();
  for (const build of BUILDS) copyFileSync(join(root, entries[`./${build}.wasm`]!), join(folder, `${build}.wasm`));
  const server = spawn(WORKERD, ['serve', 'config.capnp', '--control-fd=3'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  try {
    const response = await fetch(`http://127.0.0.1:${await portOf(server)}/`, {
      method: 'POST',
      body: JSON.stringify(expected),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    const { stdout } = spawnSync(WORKERD, ['--version'], { encoding: 'utf8' });
    const { report, refusal } = JSON.parse(text) as { report: Report; refusal: string };
    const check = await checked("without modules the error names 'wattn/external'", () => {
      assert.match(refusal, /^UnsupportedError: .*'wattn\/external'/s);
      return refusal;
    });
    const { seen, checks } = report;
    return { version: stdout.replace('workerd', '').trim(), seen, checks: [...checks, check] };
  } finally {
    server.removeAllListeners('exit');
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

/** What is used of edge-runtime; its own types are not there before everything is installed. */
interface EdgeRuntime {
  evaluate(code: string): unknown;
}

async function runEdgeRuntime(expected: Expectation): Promise<Outcome> {
  const require = createRequire(join(ROOT, 'tests/everywhere/package.json'));
  const { EdgeRuntime } = require('edge-runtime') as { EdgeRuntime: new () => EdgeRuntime };
  const { version } = JSON.parse(readFileSync(join(EVERYWHERE, 'edge-runtime/package.json'), 'utf8'));
  const runtime = new EdgeRuntime();
  const { root, entries } = packed();
  // there is no DecompressionStream for the main entry's builds
  const imports = BUILDS.map((build) => `import ${build} from '${join(root, entries[`./${build}.wasm`]!)}';`);
  runtime.evaluate(
    await bundleSuite(
      `${imports.join('\n')}
      globalThis.run = (expected) => run(expected, { modules: { ${BUILDS} } });`,
      'wattn/external',
    ),
  );
  const report = await runtime.evaluate(`run(${JSON.stringify(expected)}).then(JSON.stringify)`);
  return { version, ...(JSON.parse(report as string) as Report) };
}

const relaxed: Expectation = {
  runtime: 'workerd',
  variants: ['simd', 'relaxed'],
  variantReason: 'the engine has relaxed SIMD',
  threads: 'this platform has no workers',
  canBlock: true,
};

/** workerd and edge-runtime. */
export const EDGE: readonly Place[] = [
  {
    runtime: 'workerd',
    setting: 'precompiled modules',
    quick: false,
    missing: () => (existsSync(WORKERD) ? '' : WORKERD),
    run: () => runWorkerd(relaxed),
  },
  {
    runtime: 'edge-runtime',
    setting: 'modules from bytes',
    quick: false,
    missing: () => (existsSync(join(EVERYWHERE, 'edge-runtime')) ? '' : 'edge-runtime'),
    run: () =>
      runEdgeRuntime({
        ...relaxed,
        runtime: 'unknown',
        variants: ['simd'],
        variantReason: 'no relaxed SIMD',
        threads: 'neither Worker nor node:worker_threads',
      }),
  },
];
