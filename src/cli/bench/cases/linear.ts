import { gla, linearAttn, simpleGla, simpleGlaStep } from '../../../index.ts';
import { type BenchCase, type Entry, type Floor, fmaProbe, peerEntries } from '../case.ts';
import { dormantLinear, type LinearProblem, linearProblem } from '../problem.ts';
import { flatCase, type Method, methodEntry, stepCase, threadsCase } from './recurrence.ts';

/** How the gates are called in the tables. */
const GATES = { none: 'no gate', scalar: 'scalar gate', vector: 'vector gate' } as const;

/** What each gate must reach over onnxruntime-web with the same gate. */
const OVER_PEER = { none: 2.8, scalar: 3.8, vector: 3 } as const;

/** The method of each gate; scale is the default. */
const METHODS: Readonly<Record<LinearProblem['gate'], Method>> = {
  none: ({ q, k, v }) => linearAttn({ q, k, v }),
  scalar: ({ q, k, v, g }) => simpleGla({ q, k, v, g: g! }),
  vector: ({ q, k, v, g }) => gla({ q, k, v, gk: g! }),
};

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
      entries.push(
        methodEntry(rt, `wattn, ${label}`, problem, METHODS[gate]),
        ...(await peerEntries(peers, problem, { label })),
      );
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

/** Two threads next to one: over heads, or over columns of the state where there is one head. */
const threads = (heads: number, tokens: number): BenchCase =>
  threadsCase(
    {
      op: 'linear',
      name: `linear-threads-h${heads}`,
      title: `two threads, scalar gate, H${heads} T${tokens} K64 V64`,
    },
    () => linearProblem({ heads, tokens, dim: 64, gate: 'scalar' }),
    METHODS.scalar,
  );

/** Linear attention: gates next to onnxruntime-web, long sequences, decode, threads, small states. */
export const linearCases: BenchCase[] = [
  gates(512),
  gates(2048),
  gates(8192),
  flatCase(
    { op: 'linear', name: 'linear-flat', title: 'time per token, scalar gate, H2 K64 V64, T 65536 and 1024' },
    (tokens) => linearProblem({ heads: 2, tokens, dim: 64, gate: 'scalar' }),
    METHODS.scalar,
  ),
  stepCase(
    { op: 'linear', name: 'linear-step', title: 'one decode step, scalar gate, H8 K64 V64' },
    () => linearProblem({ heads: 8, tokens: 1, dim: 64, gate: 'scalar', carried: true }),
    ({ q, k, v, g, state, o }) => simpleGlaStep({ q, k, v, g: g!, state, o }),
    25,
  ),
  threads(8, 2048),
  threads(1, 16384),
  {
    op: 'linear',
    name: 'linear-denormal',
    title: 'states that decay to denormal numbers, scalar gate, H8 T2048 K64 V64',
    async prepare({ rt, probes, peers }) {
      const problem = linearProblem({ heads: 8, tokens: 2048, dim: 64, gate: 'scalar' });
      const denormal = dormantLinear(problem, true);
      return {
        entries: [
          methodEntry(rt, 'wattn, denormal states', denormal, METHODS.scalar),
          methodEntry(rt, 'wattn, ordinary states', dormantLinear(problem, false), METHODS.scalar),
          ...(await peerEntries(peers, denormal, { label: 'denormal states' })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, denormal states', against: 'wattn, ordinary states', floor: 0.9 }],
      };
    },
  },
];
