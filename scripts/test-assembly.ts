/**
 * Runs the kernels' unit tests (as-pect) with SIMD and with relaxed SIMD, and prints the closing count.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';

// as-pect's command starts whatever `node` is on the path; its main module runs on the one chosen here
const AS_PECT = 'node_modules/@as-pect/cli/lib/test.js';
const NEWER_NODE = 'tests/runtimes/node_modules/node24/bin/node';

interface Run {
  title: string;
  report: string;
  passed: number;
  failed: number;
}

/** Compiles every spec by an asconfig and runs it under a Node. */
async function runSpecs(title: string, node: string, flags: string[], config: string): Promise<Run> {
  const child = spawn(node, ['--enable-source-maps', ...flags, AS_PECT, '--summary', '--as-config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FORCE_COLOR: '0' },
  });
  const status = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  const [code, output, errors] = await Promise.all([status, text(child.stdout), text(child.stderr)]);
  const summary = /\[Tests\]: (\d+) \/ (\d+)/.exec(output);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0) - passed;
  // a spec that does not compile or does not start has no tests to count
  const stopped = code !== 0 || passed === 0 ? 1 : 0;
  // the reporter writes to stderr, as the compiler does; stdout holds the logo and the summary
  return { title, report: errors, passed, failed: Math.max(stopped, failed) };
}

const newer = existsSync(NEWER_NODE);
const behindFlag = !newer && process.versions.node.startsWith('20.');
if (!newer) process.stdout.write(`${NEWER_NODE} is missing: relaxed SIMD runs on Node ${process.version}\n`);
const runs = await Promise.all([
  runSpecs('simd', process.execPath, [], 'as-pect.asconfig.json'),
  runSpecs(
    'relaxed',
    newer ? NEWER_NODE : process.execPath,
    behindFlag ? ['--experimental-wasm-relaxed-simd'] : [],
    'assembly/__tests__/relaxed.asconfig.json',
  ),
]);
let passed = 0;
let failed = 0;
for (const run of runs) {
  process.stdout.write(`${run.report.trimEnd()}\n${run.title}: ${run.passed} passed, ${run.failed} failed\n\n`);
  passed += run.passed;
  failed += run.failed;
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
