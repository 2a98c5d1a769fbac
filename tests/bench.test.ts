import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPeers } from '../bench/peers/index.ts';
import { checkResult } from '../src/cli/bench/check.ts';
import { compareSamples, quantile } from '../src/cli/bench/measure.ts';
import {
  attentionProblem,
  flopsOf,
  linearProblem,
  matmulProblem,
  type Problem,
  scanProblem,
} from '../src/cli/bench/problem.ts';
import { referenceOf } from '../src/cli/bench/reference.ts';
import { type BenchCase, type BenchReport, type Entry, runBench, UnknownBenchError } from '../src/cli/bench.ts';
import { attention } from '../src/index.ts';

const effort = { rounds: 2, samples: 1, minTime: 0.0005, budget: 0.1 };
const problem = attentionProblem({ heads: 2, queries: 9, keys: 13, dim: 12, causal: true });
const shape = (time: number) => [1, time, problem.heads, problem.dim];

function tinyCase(change: (result: Float32Array) => unknown = () => {}): BenchCase {
  return {
    op: 'attention',
    name: 'tiny',
    title: 'a tiny attention',
    async prepare({ rt }) {
      const q = rt.tensor(problem.q, shape(problem.queries));
      const k = rt.tensor(problem.k, shape(problem.keys));
      const v = rt.tensor(problem.v, shape(problem.keys));
      const output = async () => {
        const { o, lse } = await attention({ q, k, v }, { causal: true });
        const data = (await o.data()) as Float32Array;
        o.dispose();
        lse.dispose();
        return data;
      };
      const entry = (name: string, edit: (result: Float32Array) => unknown): Entry => ({
        name,
        problem,
        flops: flopsOf(problem),
        run: output,
        async output() {
          const result = await output();
          edit(result);
          return result;
        },
      });
      const floor = { of: 'changed', against: 'right', floor: 1 };
      return { entries: [entry('changed', change), entry('right', () => {})], probes: [], goals: [floor] };
    },
  };
}

async function run(cases: BenchCase[], options = {}): Promise<{ report: BenchReport; text: string }> {
  const parts: string[] = [];
  const report = await runBench({ cases, effort, write: (part) => parts.push(part), ...options });
  return { report, text: parts.join('') };
}

test('a case that is right gets times, rates and a ratio', async () => {
  const { report, text } = await run([tinyCase()]);
  assert.equal(report.failed, 0);
  const [first, second] = report.cases[0]!.entries;
  for (const entry of [first!, second!]) {
    assert.equal(entry.check.ok, true);
    assert.ok(entry.timing!.median > 0);
    assert.ok(entry.gflops! > 0);
    assert.equal(entry.timing!.rounds.length, effort.rounds);
    assert.ok(entry.timing!.samples.length >= effort.rounds);
  }
  assert.equal(first!.ratio, undefined);
  assert.ok(second!.ratio! > 0);
  assert.ok(report.cases[0]!.goals[0]!.value! > 0);
  assert.match(text, /tiny: a tiny attention/);
  assert.match(text, /1 right, 0 failed/);
});

const mistakes: Record<string, (result: Float32Array) => unknown> = {
  'an error in one element': (result) => result.set([result[5]! + 1e-4], 5),
  'a NaN': (result) => result.fill(Number.NaN, -1),
};

for (const [name, mistake] of Object.entries(mistakes)) {
  test(`${name} fails the case and leaves no speed`, async () => {
    const { report, text } = await run([tinyCase(mistake)]);
    assert.equal(report.failed, 1);
    const [wrong, right] = report.cases[0]!.entries;
    assert.equal(wrong!.check.ok, false);
    for (const figure of ['timing', 'gflops', 'ratio', 'bandwidth'] as const) assert.equal(wrong![figure], undefined);
    assert.equal(right!.ratio, undefined);
    assert.deepEqual(
      report.cases[0]!.goals.map(({ value, reached }) => ({ value, reached })),
      [{ value: undefined, reached: false }],
    );
    assert.match(text, /FAILED its check/);
    assert.match(text, /0 right, 1 failed/);
  });
}

test('a case that throws is reported and the next one still runs', async () => {
  const broken: BenchCase = {
    op: 'attention',
    name: 'broken',
    title: 'cannot be prepared',
    prepare: async () => {
      throw new RangeError('no such thing');
    },
  };
  const { report, text } = await run([broken, tinyCase()]);
  assert.equal(report.failed, 1);
  assert.equal(report.cases[0]!.error, 'RangeError: no such thing');
  assert.equal(report.cases[1]!.error, undefined);
  assert.match(text, /could not run: RangeError: no such thing/);
});

test('--json writes one document', async () => {
  const { report, text } = await run([tinyCase()], { json: true });
  const parsed = JSON.parse(text) as BenchReport;
  assert.equal(parsed.cases[0]!.name, 'tiny');
  assert.equal(parsed.device.variant, report.device.variant);
});

test('an unknown op names the known ones', async () => {
  await assert.rejects(run([tinyCase()], { ops: ['atention'] }), (error: Error) => {
    assert.ok(error instanceof UnknownBenchError);
    assert.match(error.message, /'atention'.*attention, tiny, startup, size/);
    return true;
  });
});

test('the reference agrees with a matrix product and an attention done by hand', () => {
  const product = { ...matmulProblem(1, 2, 2), a: Float32Array.of(2, 3), b: Float32Array.of(1, 10, 100, 1000) };
  assert.deepEqual([...referenceOf(product).rows[0]!.values], [302, 3020]);
  const two = { ...attentionProblem({ heads: 1, queries: 1, keys: 2, dim: 1 }), scale: 1 };
  const values = {
    ...two,
    q: Float32Array.of(1),
    k: Float32Array.of(0, Math.fround(Math.log(3))),
    v: Float32Array.of(4, 8),
  };
  assert.ok(checkResult([7], referenceOf(values)).ok);
  assert.equal(checkResult([7.001], referenceOf(values)).ok, false);
  assert.equal(checkResult([7, 7], referenceOf(values)).ok, false);
});

test('quantiles and the comparison of samples', () => {
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
  assert.equal(quantile([1], 0.75), 1);
  const fast = Array.from({ length: 12 }, (_, i) => 1 + i / 100);
  const slow = fast.map((time) => time + 1);
  assert.equal(compareSamples(fast, slow), 1);
  assert.equal(compareSamples(slow, fast), -1);
  assert.equal(compareSamples(fast, [...fast]), 0);
});

test('every peer solves what the reference solves', async () => {
  const problems = [
    problem,
    attentionProblem({ heads: 3, queries: 1, keys: 10, dim: 8 }),
    attentionProblem({ heads: 2, queries: 6, dim: 4, causal: true, logits: 30 }),
    matmulProblem(5, 6, 7),
    linearProblem({ heads: 3, tokens: 19, dim: 5, valueDim: 11 }),
    linearProblem({ heads: 2, tokens: 70, dim: 8, gate: 'scalar', carried: true }),
    linearProblem({ heads: 2, tokens: 33, dim: 6, valueDim: 4, gate: 'vector' }),
    scanProblem({ tokens: 21, channels: 10, states: 3 }),
  ];
  const solved = new Map<Problem, string[]>(problems.map((each) => [each, []]));
  for (const peer of await loadPeers(1)) {
    for (const [i, each] of problems.entries()) {
      const contender = await peer.prepare(each);
      if (!contender) continue;
      solved.get(each)!.push(peer.name);
      const check = checkResult(await contender.output(), referenceOf(each), 1e-3);
      assert.ok(check.ok, `${peer.name}, problem ${i}: ${check.reason}`);
      await contender.dispose?.();
    }
  }
  const [ort, tfjs, plain] = ['onnxruntime-web', 'tfjs-wasm', 'plain JavaScript'];
  assert.deepEqual(
    [...solved.values()],
    [[tfjs, plain], [ort, tfjs, plain], [ort, tfjs, plain], [ort, tfjs, plain], [ort], [ort], [ort], [plain]],
  );
});
