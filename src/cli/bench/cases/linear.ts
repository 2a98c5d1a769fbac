import { gla, linearAttn, type Runtime, simpleGla, simpleGlaStep } from '../../../index.ts';
import { type BenchCase, type Entry, type Floor, fmaProbe, peerEntries, recurrenceEntry } from '../case.ts';
import { dormantLinear, flopsOf, type LinearProblem, type LinearSize, linearProblem, withState } from '../problem.ts';

/** An entry that calls the method of the problem's gate on tensors that are already in the runtime's memory. */
function linearEntry(rt: Runtime, name: string, problem: LinearProblem, threads?: number): Entry {
  const { heads, tokens, keyDim, valueDim, gate, scale } = problem;
  const q = rt.tensor(problem.q, [1, tokens, heads, keyDim]);
  const k = rt.tensor(problem.k, [1, tokens, heads, keyDim]);
  const v = rt.tensor(problem.v, [1, tokens, heads, valueDim]);
  const entry = { name, problem, ...(threads === undefined ? {} : { threads }) };
  if (gate === 'none') {
    return recurrenceEntry({ ...entry, inputs: [q, k, v], call: () => linearAttn({ q, k, v }, { scale }) });
  }
  if (gate === 'scalar') {
    const g = rt.tensor(problem.g, [1, tokens, heads]);
    return recurrenceEntry({ ...entry, inputs: [q, k, v, g], call: () => simpleGla({ q, k, v, g }, { scale }) });
  }
  const gk = rt.tensor(problem.g, [1, tokens, heads, keyDim]);
  return recurrenceEntry({ ...entry, inputs: [q, k, v, gk], call: () => gla({ q, k, v, gk }, { scale }) });
}

/** Decode steps in a sample: one call is too short for a clock, and for the promise around a sample. */
const STEPS = 50;

/** An entry that decodes the one token of a problem, writing into tensors that are there. */
function stepEntry(rt: Runtime, name: string, problem: LinearProblem): Entry {
  const { heads, keyDim, valueDim, scale } = problem;
  const initial = problem.initialState ?? new Float32Array(heads * keyDim * valueDim);
  const inputs = {
    q: rt.tensor(problem.q, [1, heads, keyDim]),
    k: rt.tensor(problem.k, [1, heads, keyDim]),
    v: rt.tensor(problem.v, [1, heads, valueDim]),
    g: rt.tensor(problem.g, [1, heads]),
    state: rt.tensor(initial, [1, heads, keyDim, valueDim]),
    o: rt.tensor(new Float32Array(heads * valueDim), [1, heads, valueDim]),
  };
  return {
    name,
    note: 'synchronous, state in place, output into a tensor that is there',
    problem,
    flops: flopsOf(problem),
    calls: STEPS,
    run() {
      for (let step = 0; step < STEPS; step++) simpleGlaStep(inputs, { scale });
    },
    output() {
      inputs.state.view().set(initial);
      simpleGlaStep(inputs, { scale });
      return withState(inputs.o.view(), inputs.state.view());
    },
    dispose() {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    },
  };
}

/** How the gates are called in the tables. */
const GATES = { none: 'no gate', scalar: 'scalar gate', vector: 'vector gate' } as const;

/** What each gate must reach over onnxruntime-web with the same gate. */
const OVER_PEER = { none: 2.8, scalar: 3.8, vector: 3 } as const;

/** All three gates at one length, each next to the peers' form of the same problem. */
const gates = (tokens: number): BenchCase => ({
  op: 'linear',
  name: `linear-${tokens}`,
  title: `linear attention, H8 T${tokens} K64 V64`,
  async prepare({ rt, probes, peers }) {
    const entries: Entry[] = [];
    const goals: Floor[] = [];
    for (const gate of ['none', 'scalar', 'vector'] as const) {
      const problem = linearProblem({ heads: 8, tokens, dim: 64, gate });
      const label = GATES[gate];
      entries.push(linearEntry(rt, `wattn, ${label}`, problem), ...(await peerEntries(peers, problem, { label })));
      goals.push({
        of: `wattn, ${label}`,
        against: `onnxruntime-web, ${label}`,
        floor: { relaxed: OVER_PEER[gate] },
      });
    }
    goals.push({ of: 'wattn, scalar gate', against: { peak: 'fma' }, floor: { relaxed: 0.8 } });
    return { entries, goals, probes: [fmaProbe(probes)] };
  },
});

/** Two threads next to one: over heads, or over time where there is one head. */
const threads = (size: LinearSize): BenchCase => ({
  op: 'linear',
  name: `linear-threads-h${size.heads}`,
  title: `two threads, scalar gate, H${size.heads} T${size.tokens} K${size.dim} V${size.dim}`,
  async prepare({ runtime, probes, peersWith }) {
    const problem = linearProblem({ ...size, gate: 'scalar' });
    const two = await runtime(2);
    const one = await runtime(1);
    return {
      entries: [
        linearEntry(two, 'wattn, 2 threads', problem, 2),
        linearEntry(one, 'wattn, 1 thread', problem, 1),
        ...(await peerEntries(await peersWith(2), problem)).map((entry) => ({ ...entry, threads: 2 })),
      ],
      probes: [fmaProbe(probes)],
      goals: [{ of: 'wattn, 2 threads', against: 'wattn, 1 thread', floor: 1.7 }],
    };
  },
});

/** Linear attention: gates next to onnxruntime-web, long sequences, decode, threads, small states. */
export const linearCases: BenchCase[] = [
  gates(512),
  gates(2048),
  gates(8192),
  {
    op: 'linear',
    name: 'linear-flat',
    title: 'time per token, scalar gate, H2 K64 V64, T 65536 and 1024',
    async prepare({ rt, probes }) {
      const problem = (tokens: number) => linearProblem({ heads: 2, tokens, dim: 64, gate: 'scalar' });
      return {
        entries: [linearEntry(rt, 'wattn, T 65536', problem(65536)), linearEntry(rt, 'wattn, T 1024', problem(1024))],
        probes: [fmaProbe(probes)],
        // 15% more time per token
        goals: [{ of: 'wattn, T 65536', against: 'wattn, T 1024', perFlop: true, floor: 0.87 }],
      };
    },
  },
  {
    op: 'linear',
    name: 'linear-step',
    title: 'one decode step, scalar gate, H8 K64 V64',
    async prepare({ rt, probes, peers }) {
      const problem = linearProblem({ heads: 8, tokens: 1, dim: 64, gate: 'scalar', carried: true });
      return {
        entries: [stepEntry(rt, 'wattn', problem), ...(await peerEntries(peers, problem))],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn', unit: 'microseconds', ceiling: 25 }],
      };
    },
  },
  threads({ heads: 8, tokens: 2048, dim: 64 }),
  threads({ heads: 1, tokens: 16384, dim: 64 }),
  {
    op: 'linear',
    name: 'linear-denormal',
    title: 'states that decay to denormal numbers, scalar gate, H8 T2048 K64 V64',
    async prepare({ rt, probes, peers }) {
      const problem = linearProblem({ heads: 8, tokens: 2048, dim: 64, gate: 'scalar' });
      const denormal = dormantLinear(problem, true);
      return {
        entries: [
          linearEntry(rt, 'wattn, denormal states', denormal),
          linearEntry(rt, 'wattn, ordinary states', dormantLinear(problem, false)),
          ...(await peerEntries(peers, denormal, { label: 'denormal states' })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, denormal states', against: 'wattn, ordinary states', floor: 0.9 }],
      };
    },
  },
];
