/**
 * `npm test`: every suite on the Node it is started with, those that the engine matters to on a newer one too, and the closing
 * count. A third of the random cases: `npm run test:long` has all of them, and asks whether they have met what they are there for.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { packed } from '../tests/portable/package.ts';
import { missingGpu } from '../tests/webgpu/dawn.ts';

const NEWER_NODE = 'tests/runtimes/node_modules/node24/bin/node';

interface Count {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Count = { passed: 0, failed: 0, skipped: 0 };

function record(title: string, count: Count): void {
  total.passed += count.passed;
  total.failed += count.failed;
  total.skipped += count.skipped;
  process.stdout.write(`\n== ${title}: ${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n\n`);
}

/** Runs test files under a Node, with `effort` times the random cases, and adds what its runner counted. */
function runNode(title: string, node: string, files: string[], effort = 1): void {
  const folder = mkdtempSync(join(tmpdir(), 'wattn-test-'));
  const tap = join(folder, 'tap');
  const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout', '--test-reporter=tap'];
  const { status } = spawnSync(
    node,
    [
      '--import',
      'tsx',
      '--test',
      // the runner's own default leaves a core idle
      `--test-concurrency=${availableParallelism()}`,
      ...reporters,
      `--test-reporter-destination=${tap}`,
      ...files,
    ],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, WATTN_EFFORT: String(effort * Number(process.env.WATTN_EFFORT ?? 1)) },
    },
  );
  const text = existsSync(tap) ? readFileSync(tap, 'utf8') : '';
  rmSync(folder, { recursive: true });
  const counted = (what: string) => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  const failed = counted('fail') + counted('cancelled');
  // a runner that fails without a failed test has not run at all
  record(title, {
    passed: counted('pass'),
    failed: status === 0 ? failed : Math.max(1, failed),
    skipped: counted('skipped'),
  });
}

/** Runs a script whose last line is `N passed, N failed`. */
function runScript(title: string, file: string): void {
  const { status, stdout } = spawnSync(process.execPath, ['--import', 'tsx', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  process.stdout.write(stdout);
  const [, passed, failed] = /(\d+) passed, (\d+) failed\D*$/.exec(stdout.trimEnd()) ?? [];
  record(title, {
    passed: Number(passed ?? 0),
    failed: status === 0 && failed !== undefined ? Number(failed) : Math.max(1, Number(failed ?? 1)),
    skipped: 0,
  });
}

const suites = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name));

// The arithmetic is the same wasm on every engine. These are what another engine can break: memory that grows and is shared,
// workers, unpacking and choice of builds, the compiler on every kernel (methods: the golden cases, on both builds), bits
// that do not depend on threads, 8-bit dot products, errors.
const NEWER = [
  'assembly',
  'codes',
  'decode-halves',
  'determinism',
  'errors',
  'kv-cache',
  'memory',
  'methods',
  'modules',
  'pool',
  'quantised-attention',
  'select-threads',
  'steps',
  'token-determinism',
].map((name) => join('tests', `${name}.test.ts`));

const EFFORT = process.argv.includes('--long') ? 1 : 1 / 3;

spawnSync('sh', ['tests/runtimes/install.sh'], { stdio: 'inherit' });
runScript('kernels (as-pect)', 'scripts/test-assembly.ts');
runNode(`host Node ${process.version}`, process.execPath, suites('tests'), EFFORT);
if (existsSync(NEWER_NODE)) runNode('Node 24', NEWER_NODE, NEWER, 0.3 * EFFORT);
else {
  process.stdout.write(`${NEWER_NODE} is missing: no suite was run on a newer Node\n`);
  if (process.env.CI) record('Node 24', { passed: 0, failed: 1, skipped: 0 });
}
// A software driver compiles each shader for most of a second: npm run test:webgpu has the rest.
const WEBGPU = ['runtime', 'bench', 'elementwise', 'gemm', 'evict', 'scan', 'features', 'low-rank'].map((name) =>
  join('tests', 'webgpu', `${name}.test.ts`),
);
spawnSync('sh', ['tests/webgpu/install.sh'], { stdio: 'inherit' });
if (missingGpu() === '') runNode('WebGPU', process.execPath, WEBGPU);
else {
  process.stdout.write(`${missingGpu()} is missing: the suites of tests/webgpu were not run\n`);
  record('WebGPU', { passed: 0, failed: process.env.CI ? 1 : 0, skipped: 1 });
}
spawnSync('sh', ['tests/bundlers/install.sh'], { stdio: 'inherit' });
// Rollup and Next.js take minutes: npm run test:bundlers
const BUNDLED = ['webpack', 'package', 'vite', 'esbuild', 'size'].map((name) => `tests/bundlers/${name}.test.ts`);
try {
  // once, for all files of the suites
  packed();
  runNode('documentation', process.execPath, suites('tests/docs'));
  runNode('the packed package everywhere', process.execPath, suites('tests/portable'));
  runNode('the packed package and its bundles', process.execPath, BUNDLED);
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
  record('the packed package', { passed: 0, failed: 1, skipped: 0 });
}

process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
