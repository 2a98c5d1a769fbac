/**
 * Node, Deno and Bun: the suite in a process of each, which must then end by itself.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { DAWN, gpuEnvironment, missingGpu } from '../webgpu/dawn.ts';
import { GOLDEN_CASES, QUICK_GPU_CASES } from './cases.ts';
import type { Job } from './child.ts';
import { packed, ROOT } from './package.ts';
import type { Place } from './place.ts';
import type { Check, Expectation, Seen } from './suite.ts';

/** Folder of the runtimes that tests/runtimes/install.sh installs. */
export const RUNTIMES = join(ROOT, 'tests/runtimes/node_modules');
/** Folder of what tests/everywhere/install.sh installs. */
export const EVERYWHERE = join(ROOT, 'tests/everywhere/node_modules');

/** Longest that a process may work, and that it may live on after its last line. */
const WORK_MS = 90_000;
/** Where each kernel has to be compiled by a software driver. */
const GPU_WORK_MS = 900_000;
const LINGER_MS = 5_000;

/** Runs one job in a process, and checks that the process then ends by itself. */
async function runProcess(
  command: string,
  args: readonly string[],
  {
    what,
    expected,
    specifier = 'wattn',
    sources = false,
    dawn = false,
    quick = false,
  }: Pick<Command, 'expected' | 'specifier' | 'sources' | 'dawn'> & {
    what: Job['what'];
    quick?: boolean;
  },
): Promise<{ seen: Seen | undefined; checks: Check[] }> {
  const { folder, root } = packed();
  const control = sources ? join(ROOT, 'src/runtime/control.ts') : join(root, 'build/runtime/control.js');
  const job: Job = {
    what,
    specifier,
    control: pathToFileURL(control).href,
    cases: what === 'suite' || what === 'gpu' ? (what === 'gpu' && quick ? QUICK_GPU_CASES : GOLDEN_CASES) : [],
    expected,
    ...(dawn ? { dawn: pathToFileURL(DAWN).href } : {}),
  };
  // NODE_OPTIONS and the like of the test run are not the child's
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    TMPDIR: folder,
    DENO_DIR: join(folder, 'deno'),
    ...(what === 'gpu' ? gpuEnvironment() : {}),
  };
  const child = spawn(command, [...args, join(folder, 'child.js'), JSON.stringify(job)], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors, ended] = ['', '', 0];
  let timer = setTimeout(() => child.kill('SIGKILL'), what === 'gpu' ? GPU_WORK_MS : WORK_MS);
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (ended > 0 || !output.includes('"end"\n')) return;
    ended = performance.now();
    clearTimeout(timer);
    timer = setTimeout(() => child.kill('SIGKILL'), LINGER_MS);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const { code, signal } = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  }).finally(() => clearTimeout(timer));
  const lingered = performance.now() - ended;
  const lines = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Check | { seen: Seen });
  const checks = lines.filter((line) => 'failure' in line);
  let failure = '';
  if (ended === 0) failure = `the process did not finish (code ${code}, signal ${signal}): ${errors}`;
  else if (signal) failure = `the process lived on for ${LINGER_MS} ms after its work`;
  else if (code !== 0) failure = `the process ended with code ${code}: ${errors}`;
  checks.push({
    name: `${what}: the process ends by itself`,
    failure,
    detail: `${lingered.toFixed(0)} ms after its work`,
  });
  return { seen: lines.find((line) => 'seen' in line)?.seen, checks };
}

/** A command line that runs child.js. */
interface Command {
  readonly runtime: string;
  readonly setting?: string;
  readonly quick?: boolean;
  readonly command: string;
  readonly args?: readonly string[];
  readonly specifier?: string;
  /** Whether it imports src/ instead of the installed package. */
  readonly sources?: boolean;
  readonly jobs?: readonly Job['what'][];
  /** Whether WebGPU is Dawn's instead of the runtime's own. */
  readonly dawn?: boolean;
  readonly expected: Expectation;
}

function place({ runtime, setting = '', quick = true, command, ...rest }: Command): Place {
  const { args = [], jobs = ['suite', 'parked', 'early'], ...imported } = rest;
  return {
    runtime,
    setting,
    quick,
    missing: () => (existsSync(command) ? (jobs.includes('gpu') ? missingGpu() : '') : command),
    async run(quick = false) {
      const { stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
      const version = /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? '';
      const checks: Check[] = [];
      let seen: Seen | undefined;
      for (const what of jobs) {
        const result = await runProcess(command, args, { what, quick, ...imported });
        seen ??= result.seen;
        checks.push(...result.checks);
      }
      return { version, seen, checks };
    },
  };
}

const relaxed: Expectation = {
  runtime: 'node',
  variants: ['simd', 'relaxed'],
  variantReason: 'the engine has relaxed SIMD',
  threads: true,
  canBlock: true,
};
const simd: Expectation = { ...relaxed, variants: ['simd'], variantReason: 'the engine has no relaxed SIMD' };

/** A Node: what runs this, where it is of that version. */
function nodeCommand(version: string): string {
  if (process.versions.node.startsWith(`${version}.`)) return process.execPath;
  return join(version === '26' ? EVERYWHERE : RUNTIMES, `node${version}/bin/node`);
}

/** Node 20 has relaxed SIMD behind a flag that newer ones take for a fatal mistake. */
export const NODE: readonly Place[] = [
  place({ runtime: 'Node 20', command: nodeCommand('20'), expected: simd }),
  place({
    runtime: 'Node 20',
    setting: '--experimental-wasm-relaxed-simd',
    command: nodeCommand('20'),
    args: ['--experimental-wasm-relaxed-simd'],
    jobs: ['suite'],
    expected: relaxed,
  }),
  place({ runtime: 'Node 22', command: nodeCommand('22'), expected: relaxed }),
  place({ runtime: 'Node 24', command: nodeCommand('24'), expected: relaxed }),
  place({ runtime: 'Node 26', quick: false, command: nodeCommand('26'), expected: relaxed }),
  place({
    runtime: 'Node 24',
    setting: 'WebGPU of Dawn',
    quick: false,
    command: nodeCommand('24'),
    jobs: ['gpu'],
    dawn: true,
    expected: relaxed,
  }),
];

const deno = {
  runtime: 'Deno',
  command: join(RUNTIMES, '@deno/linux-x64-glibc/deno'),
  expected: { ...relaxed, runtime: 'deno' },
} as const;

/** Names of the entries that jsr.json exports, as an import map. */
function sourceMap(): string {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'jsr.json'), 'utf8')) as { exports: Record<string, string> };
  const imports = Object.entries(exports).map(([name, path]) => [
    name.replace('.', 'wattn'),
    pathToFileURL(join(ROOT, path)).href,
  ]);
  return `data:application/json,${encodeURIComponent(JSON.stringify({ imports: Object.fromEntries(imports) }))}`;
}

/** Deno; reading the package is all that it may do. */
export const DENO: readonly Place[] = [
  place({
    ...deno,
    args: ['run', '--no-prompt', '--no-remote', '--node-modules-dir=manual', '--allow-read'],
    specifier: 'npm:wattn',
  }),
  place({
    ...deno,
    setting: 'TypeScript sources, as on JSR',
    quick: false,
    args: [
      'run',
      '--no-prompt',
      '--no-remote',
      '--node-modules-dir=manual',
      '--allow-read',
      `--import-map=${sourceMap()}`,
    ],
    sources: true,
    jobs: ['suite'],
  }),
  place({
    ...deno,
    setting: 'WebGPU',
    args: ['run', '--no-prompt', '--no-remote', '--node-modules-dir=manual', '--allow-read'],
    specifier: 'npm:wattn',
    jobs: ['gpu'],
  }),
];

/** Bun. */
export const BUN: readonly Place[] = [
  place({
    runtime: 'Bun',
    command: join(RUNTIMES, '@oven/bun-linux-x64/bin/bun'),
    args: ['run', '--no-install'],
    expected: { ...relaxed, runtime: 'bun' },
  }),
];
