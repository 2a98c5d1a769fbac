import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadPeers } from '../bench/peers/index.ts';
import { plainJavaScript } from '../bench/peers/plain-js.ts';
import { FMA_PEAK, type Goal } from '../src/cli/bench/case.ts';
import { benchCases } from '../src/cli/bench/cases.ts';
import { checkResult } from '../src/cli/bench/check.ts';
import { compareSamples, quantile } from '../src/cli/bench/measure.ts';
import {
  attentionProblem,
  dormantLinear,
  dormantScan,
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

const changedGoal: Goal[] = [{ of: 'changed', against: 'right', floor: 1 }];

function tinyCase(
  change: (result: Float32Array) => unknown = () => {},
  { goals = changedGoal, calls = 1 }: { goals?: Goal[]; calls?: number } = {},
): BenchCase {
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
        calls,
        async run() {
          for (let call = 0; call < calls; call++) await output();
        },
        async output() {
          const result = await output();
          edit(result);
          return result;
        },
      });
      return { entries: [entry('changed', change), entry('right', () => {})], probes: [], goals };
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

test('times are of one call where a sample makes several', async () => {
  const { report } = await run([tinyCase(() => {}, { calls: 100 })]);
  const [first] = report.cases[0]!.entries;
  const round = first!.timing!.rounds[0]!;
  assert.ok(first!.timing!.median < (round.mean * 1e3) / 20, `${first!.timing!.median} of ${round.mean}`);
});

test('a ceiling is judged by microseconds, and a build without a floor is not judged', async () => {
  const goals: Goal[] = [
    { of: 'right', unit: 'microseconds', ceiling: 1e7 },
    { of: 'right', unit: 'microseconds', ceiling: 0 },
    { of: 'right', against: 'changed', floor: { relaxed: 0 } },
  ];
  const { report, text } = await run([tinyCase(() => {}, { goals })], { variant: 'simd' });
  const median = report.cases[0]!.entries[1]!.timing!.median;
  assert.deepEqual(
    report.cases[0]!.goals.map(({ limit, value, reached }) => ({ limit, value, reached })),
    [
      { limit: 1e7, value: median * 1e3, reached: true },
      { limit: 0, value: median * 1e3, reached: false },
    ],
  );
  assert.match(text, /reached .* \(at most 10000000\) right, microseconds of a call/);
});

test('a scan is counted by its state elements, and its cycles by the clock of the FMA peak', async () => {
  const scan = scanProblem({ tokens: 4, channels: 6, states: 2 });
  const scanCase: BenchCase = {
    op: 'scan',
    name: 'tiny',
    title: 'a tiny scan',
    async prepare() {
      const contender = (await plainJavaScript.prepare(scan))!;
      return {
        entries: [{ ...contender, problem: scan, flops: flopsOf(scan), relative: 1e-3 }],
        probes: [{ name: FMA_PEAK, read: () => 48 }],
        goals: [{ of: contender.name, unit: 'cycles', ceiling: 8 }],
      };
    },
  };
  const { report, text } = await run([scanCase]);
  const { entries, goals } = report.cases[0]!;
  const seconds = entries[0]!.timing!.median / 1e3;
  const relative = (value: number, want: number) => assert.ok(Math.abs(value / want - 1) < 1e-9, `${value}, ${want}`);
  relative(entries[0]!.elements!, (4 * 6 * 2) / seconds / 1e9);
  relative(goals[0]!.value!, (seconds * 3e9 * 4) / (4 * 6 * 2));
  assert.match(text, /Gelem\/s/);
  assert.match(text, /cycles of four state elements \(at 3.00 GHz\)/);
});

test('a case where everything is wrong still has a table', async () => {
  const nothing: BenchCase = {
    ...tinyCase(),
    async prepare(context) {
      const { entries } = await tinyCase((result) => result.fill(1)).prepare(context);
      return { entries: entries.slice(0, 1), probes: [], goals: [] };
    },
  };
  const { report, text } = await run([nothing]);
  assert.equal(report.failed, 1);
  assert.match(text, /changed .*FAILED its check: off by/);
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

/** Rows of a reference by the element of the result that they begin with. */
const rowsByOffset = (problem: Problem) => new Map(referenceOf(problem).rows.map((row) => [row.offset, row]));

const near = (got: number, want: number) => assert.ok(Math.abs(got - want) < 1e-9, `${got}, expected ${want}`);

for (const gate of ['none', 'scalar', 'vector'] as const) {
  test(`the reference of linear attention, gate ${gate}, is a sum over earlier tokens`, () => {
    const [heads, tokens, K, V] = [3, 7, 4, 5];
    const linear = linearProblem({ heads, tokens, dim: K, valueDim: V, gate, carried: true });
    const { q, k, v, g, scale, initialState } = linear;
    const rows = rowsByOffset(linear);
    assert.equal(rows.size, 2 * heads * V);
    const log = (t: number, h: number, i: number) =>
      gate === 'none' ? 0 : gate === 'scalar' ? g[t * heads + h]! : g[(t * heads + h) * K + i]!;
    /** weight of what was in channel i after token j (or before the first, j = -1) in the state after token t */
    const kept = (j: number, t: number, h: number, i: number) => {
      let sum = 0;
      for (let s = j + 1; s <= t; s++) sum += log(s, h, i);
      return Math.exp(sum);
    };
    for (let h = 0; h < heads; h++) {
      for (let c = 0; c < V; c++) {
        const state = (t: number, i: number) => {
          let sum = kept(-1, t, h, i) * initialState![(h * K + i) * V + c]!;
          for (let j = 0; j <= t; j++)
            sum += kept(j, t, h, i) * k[(j * heads + h) * K + i]! * v[(j * heads + h) * V + c]!;
          return sum;
        };
        const o = rows.get(h * V + c)!;
        assert.deepEqual([o.stride, o.values.length], [heads * V, tokens]);
        for (let t = 0; t < tokens; t++) {
          let dot = 0;
          for (let i = 0; i < K; i++) dot += q[(t * heads + h) * K + i]! * state(t, i);
          near(o.values[t]!, dot * scale);
        }
        const final = rows.get(tokens * heads * V + h * K * V + c)!;
        assert.deepEqual([final.stride, final.values.length], [V, K]);
        for (let i = 0; i < K; i++) near(final.values[i]!, state(tokens - 1, i));
      }
    }
  });
}

test('the reference of a scan is a sum over earlier tokens', () => {
  const [tokens, D, N] = [6, 3, 4];
  const scan = scanProblem({ tokens, channels: D, states: N });
  const rows = rowsByOffset(scan);
  const dt = (t: number, d: number) => Math.log(1 + Math.exp(scan.delta[t * D + d]!));
  for (let d = 0; d < D; d++) {
    const state = (t: number, n: number) => {
      let sum = 0;
      for (let j = 0; j <= t; j++) {
        let time = 0;
        for (let s = j + 1; s <= t; s++) time += dt(s, d);
        sum += Math.exp(time * scan.a[d * N + n]!) * dt(j, d) * scan.u[j * D + d]! * scan.b[j * N + n]!;
      }
      return sum;
    };
    for (let t = 0; t < tokens; t++) {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += scan.c[t * N + n]! * state(t, n);
      near(rows.get(d)!.values[t]!, sum);
    }
    const final = rows.get(tokens * D + d * N)!;
    for (let n = 0; n < N; n++) near(final.values[n]!, state(tokens - 1, n));
  }
});

test('dormant problems end in denormal states, and stay ordinary where they are not silent', () => {
  const smallest = 2 ** -149;
  const largest = 2 ** -126;
  const linear = linearProblem({ heads: 2, tokens: 512, dim: 16, gate: 'scalar' });
  const scan = scanProblem({ tokens: 256, channels: 8, states: 4 });
  const states = (problem: Problem, outputs: number) =>
    referenceOf(problem)
      .rows.filter(({ offset }) => offset >= outputs)
      .flatMap(({ values }) => [...values].map(Math.abs));
  for (const [silent, full, outputs] of [
    [dormantLinear(linear, true), dormantLinear(linear, false), 512 * 2 * 16],
    [dormantScan(scan, true), dormantScan(scan, false), 256 * 8],
  ] as const) {
    const small = states(silent, outputs);
    const denormal = small.filter((x) => x >= smallest && x < largest).length;
    assert.ok(denormal > 0.95 * small.length, `${denormal} of ${small.length} are denormal`);
    assert.ok(states(full, outputs).filter((x) => x > 1e-6).length > 0.95 * small.length);
  }
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

test('a decode step is right and judged by its microseconds', async () => {
  const { report } = await run(benchCases, { ops: ['linear-step'] });
  assert.equal(report.failed, 0, report.cases[0]!.error);
  assert.deepEqual(
    report.cases[0]!.goals.map(({ text }) => text),
    ['wattn, microseconds of a call'],
  );
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
