/**
 * What the hosts of the portability tests share: the built package, the golden cases, and processes that run the suite.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Job } from './child.ts';
import type { Check, Expectation } from './suite.ts';

/** Folder of the repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Folder of the built package. */
export const BUILD = join(ROOT, 'build');
/** Folder of the runtimes that tests/runtimes/install.sh installs. */
export const RUNTIMES = join(ROOT, 'tests/runtimes/node_modules');

/** A spread over every method and mask; each is small, together they take well under a second. */
export const GOLDEN_CASES: readonly { name: string; path: string }[] = [
  'attention--full-a',
  'attention--causal-b',
  'attention--window-a',
  'attention--window_bidir-b',
  'attention--bias-a',
  'attention--mask-b',
  'attention--alibi-a',
  'attention--kvlen_causal-b',
  'attention--varlen-b',
  'attention--gpt_oss_sinks-a',
  'attention--gemma2_softcap-b',
  'attention--decode-a',
  'attention--peaked-a',
  'attention--masked_huge_window-a',
  'paged_attention--decode-a',
  'mla--causal-b',
  'differential_attention--causal-a',
  'forgetting_attn--window-b',
  'parallax--causal-a',
  'rope--half-b',
].map((name) => ({ name, path: join(ROOT, 'tests/vectors', `${name}.safetensors`) }));

/** Fails unless build/ holds what src/ says now. */
export function requireBuild(): void {
  for (const entry of readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const source = join(entry.parentPath, entry.name);
    const built = source.replace(join(ROOT, 'src'), BUILD).replace(/\.ts$/, '.js');
    const fresh = existsSync(built) && statSync(built).mtimeMs >= statSync(source).mtimeMs;
    assert.ok(fresh, `${built} is missing or older than its source: npm run build`);
  }
}

/** JavaScript of a module of tests/, for hosts that do not take TypeScript. */
export function compiled(path: string): string {
  // it takes a second to load, which most that use this module need not
  const ts = createRequire(import.meta.url)('typescript') as typeof import('typescript');
  const { outputText } = ts.transpileModule(readFileSync(join(ROOT, 'tests', path), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
  });
  return outputText;
}

/** Skips a test aloud where its runtime is missing; on CI that is a failure. */
export function missing(t: TestContext, what: string): void {
  const message = `${what} is missing: tests/runtimes/install.sh installs it`;
  assert.ok(!process.env.CI, message);
  t.skip(message);
}

/** Reports each check as a test of its own. */
export async function report(t: TestContext, checks: readonly Check[]): Promise<void> {
  assert.ok(checks.length > 0, 'no check ran');
  for (const { name, failure, detail } of checks) {
    await t.test(name, (t) => {
      if (detail !== '') t.diagnostic(detail);
      assert.equal(failure, '');
    });
  }
}

let folder: string | undefined;
after(() => {
  if (folder) rmSync(folder, { recursive: true });
});

/** A folder with the compiled child.js and suite.js, removed at the end. */
function scripts(): string {
  if (folder) return folder;
  folder = mkdtempSync(join(tmpdir(), 'wattn-portable-'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  for (const name of ['child', 'suite']) writeFileSync(join(folder, `${name}.js`), compiled(`portable/${name}.ts`));
  return folder;
}

/** Longest that a process may work, and that it may live on after its last line. */
const WORK_MS = 60_000;
const LINGER_MS = 5_000;

/** Runs one job in a process, and checks that the process then ends by itself. */
export async function runProcess(
  command: string,
  args: readonly string[],
  { what, expected }: { what: Job['what']; expected: Expectation },
): Promise<Check[]> {
  const folder = scripts();
  const job: Job = {
    what,
    build: `${pathToFileURL(BUILD)}/`,
    suite: pathToFileURL(join(folder, 'suite.js')).href,
    cases: what === 'suite' ? GOLDEN_CASES : [],
    expected,
  };
  // NODE_OPTIONS and the like of the test run are not the child's
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, TMPDIR: folder, DENO_DIR: join(folder, 'deno') };
  const child = spawn(command, [...args, join(folder, 'child.js'), JSON.stringify(job)], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors, ended] = ['', '', 0];
  let timer = setTimeout(() => child.kill('SIGKILL'), WORK_MS);
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
  const checks = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Check);
  let failure = '';
  if (ended === 0) failure = `the process did not finish (code ${code}, signal ${signal}): ${errors}`;
  else if (signal) failure = `the process lived on for ${LINGER_MS} ms after its work`;
  else if (code !== 0) failure = `the process ended with code ${code}: ${errors}`;
  checks.push({
    name: `${what}: the process ends by itself`,
    failure,
    detail: `${lingered.toFixed(0)} ms after its work`,
  });
  return checks;
}
