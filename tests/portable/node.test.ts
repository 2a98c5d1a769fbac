import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { missing, RUNTIMES, report, requireBuild, runProcess } from './harness.ts';
import type { Expectation } from './suite.ts';

before(requireBuild);

const relaxed: Expectation = { runtime: 'node', variants: ['simd', 'relaxed'], threads: true, canBlock: true };

// newer Nodes have relaxed SIMD, and take its flag for a fatal mistake
if (process.versions.node.startsWith('20.')) {
  test(`Node ${process.versions.node}`, async (t) => {
    const expected: Expectation = { ...relaxed, variants: ['simd'] };
    await report(t, await runProcess(process.execPath, [], { what: 'suite', expected }));
    await report(t, await runProcess(process.execPath, [], { what: 'parked', expected }));
    await report(t, await runProcess(process.execPath, [], { what: 'early', expected }));
  });
  test(`Node ${process.versions.node} --experimental-wasm-relaxed-simd`, async (t) => {
    const flags = ['--experimental-wasm-relaxed-simd'];
    await report(t, await runProcess(process.execPath, flags, { what: 'suite', expected: relaxed }));
  });
} else {
  test(`Node ${process.versions.node}`, async (t) => {
    await report(t, await runProcess(process.execPath, [], { what: 'suite', expected: relaxed }));
  });
}

for (const name of ['node22', 'node24']) {
  test(name, async (t) => {
    const node = join(RUNTIMES, name, 'bin/node');
    if (!existsSync(node)) return missing(t, name);
    await report(t, await runProcess(node, [], { what: 'suite', expected: relaxed }));
    await report(t, await runProcess(node, [], { what: 'parked', expected: relaxed }));
    await report(t, await runProcess(node, [], { what: 'early', expected: relaxed }));
  });
}
