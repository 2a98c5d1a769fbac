import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { missing, RUNTIMES, report, requireBuild, runProcess } from './harness.ts';
import type { Expectation } from './suite.ts';

before(requireBuild);

const deno = join(RUNTIMES, '@deno/linux-x64-glibc/deno');

test('Deno', async (t) => {
  if (!existsSync(deno)) return missing(t, 'Deno');
  const expected: Expectation = { runtime: 'deno', variants: ['simd', 'relaxed'], threads: true, canBlock: true };
  // reading the package is all that it may do
  const args = ['run', '--no-prompt', '--no-config', '--no-remote', '--no-npm', '--allow-read'];
  for (const what of ['suite', 'parked', 'early'] as const)
    await report(t, await runProcess(deno, args, { what, expected }));
});
