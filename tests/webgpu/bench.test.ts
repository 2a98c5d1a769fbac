import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GpuCase } from '../../src/cli/bench/gpu/case.ts';
import { gpuCases } from '../../src/cli/bench/gpu/cases.ts';
import { type GpuBenchOptions, runGpuBench } from '../../src/cli/bench/gpu/run.ts';
import { shapeOf } from '../../src/cli/bench/gpu/shape.ts';
import { matmulProblem } from '../../src/cli/bench/problem.ts';
import { add, mul, OptionError } from '../../src/index.ts';
import { testGpu } from './dawn.ts';

const effort = { rounds: 2, batch: 5 };

async function bench(options: Partial<GpuBenchOptions>) {
  const lines: string[] = [];
  const report = await runGpuBench({ gpu: await testGpu(), effort, write: (line) => lines.push(line), ...options });
  return { ...report, lines };
}

/** A case of the table whose call is another one. */
function changed(change: Partial<ReturnType<GpuCase['prepare']>>): GpuCase {
  const one = gpuCases.find(({ name }) => name === 'add')!;
  return { ...one, prepare: (rt, shape) => ({ ...one.prepare(rt, shape), ...change }) };
}

test('a case is checked, timed, and its figures follow from its time', async () => {
  const { cases, failed, lines } = await bench({ names: ['add'], shape: { N: 4096, T: 3 } });
  const [{ shape, timing, gigabytes, teraflops, check }] = cases as [(typeof cases)[0]];
  assert.equal(failed, 0);
  assert.deepEqual(shape, { N: 4096 });
  assert.equal(timing?.samples.length, effort.rounds);
  assert.ok(timing.best <= timing.median && timing.host <= timing.median);
  assert.equal(gigabytes, (3 * 4096 * 4) / timing.median / 1e6);
  assert.equal(teraflops, undefined);
  assert.deepEqual([check?.ok, check?.rows, check?.error], [true, 4096, 0]);
  assert.match(lines.at(-1)!, /^add +sum of two tensors, N4096 +\d+\.\d{3} /);
});

test('a wrong result fails, against WebAssembly and against float64', async () => {
  // the first call on each runtime is that of the check
  const byWasm = changed({});
  const wrong: GpuCase = {
    ...byWasm,
    prepare(rt, { N }) {
      const a = rt.tensor(new Float32Array(N!).fill(3), [N!]);
      return {
        call: async () => (rt.backend === 'webgpu' ? await add({ a, b: a }) : await mul({ a, b: a })),
        bytes: 1,
      };
    },
  };
  const one = await bench({ cases: [wrong], names: ['all'] });
  assert.equal(one.failed, 1);
  assert.match(one.lines.at(-1)!, /WRONG: off by 3 from WebAssembly/);
  const problem = matmulProblem(4, 4, 4);
  const byNumbers = changed({ problem, result: async () => new Float32Array(16) });
  const two = await bench({ cases: [byNumbers], names: ['all'] });
  assert.equal(two.failed, 1);
  assert.match(two.lines.at(-1)!, /WRONG: off by /);
});

test('what cannot run says so and stops nothing', async () => {
  const broken: GpuCase = {
    ...changed({}),
    name: 'broken',
    prepare() {
      throw new RangeError('no such thing');
    },
  };
  const { cases, failed } = await bench({ cases: [broken, changed({})], names: ['all'] });
  assert.equal(failed, 1);
  assert.equal(cases[0]?.error, 'RangeError: no such thing');
  assert.ok(cases[1]?.timing);
});

test('names and lengths are checked', async () => {
  await assert.rejects(bench({ names: ['nothing'] }), OptionError);
  assert.deepEqual(shapeOf('T=12,H=3'), { T: 12, H: 3 });
  for (const text of ['T', 'T=0', 'T=1.5', 't=1', '']) assert.throws(() => shapeOf(text), OptionError);
});
