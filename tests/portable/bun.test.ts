import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { missing, RUNTIMES, report, requireBuild, runProcess } from './harness.ts';
import type { Expectation } from './suite.ts';

before(requireBuild);

const bun = join(RUNTIMES, '@oven/bun-linux-x64/bin/bun');

test('Bun', async (t) => {
  if (!existsSync(bun)) return missing(t, 'Bun');
  const expected: Expectation = { runtime: 'bun', variants: ['simd', 'relaxed'], threads: true, canBlock: true };
  const args = ['run', '--no-install'];
  for (const what of ['suite', 'parked', 'early'] as const)
    await report(t, await runProcess(bun, args, { what, expected }));
});
