import { gla, linearAttn, simpleGla, simpleGlaStep } from '../../../index.ts';
import { type BenchCase, fmaProbe, peerEntries } from '../case.ts';
import { dormantLinear, type LinearProblem, linearProblem } from '../problem.ts';
import { flatCase, type Gated, gatesCase, methodEntry, stepCase, threadsCase } from './recurrence.ts';

/** The methods, with their default scales. */
const GATES: Readonly<Record<LinearProblem['gate'], Gated>> = {
  none: { label: 'no gate', method: ({ q, k, v }) => linearAttn({ q, k, v }), overPeer: 2.8 },
  scalar: { label: 'scalar gate', method: ({ q, k, v, g }) => simpleGla({ q, k, v, g: g! }), overPeer: 3.8 },
  vector: { label: 'vector gate', method: ({ q, k, v, g }) => gla({ q, k, v, gk: g! }), overPeer: 3 },
};

/** All three gates at one length. */
const gates = (tokens: number): BenchCase =>
  gatesCase(
    { op: 'linear', name: `linear-${tokens}`, title: `linear attention, H8 T${tokens} K64 V64` },
    (gate) => linearProblem({ heads: 8, tokens, dim: 64, gate }),
    GATES,
    0.8,
  );

/** Two threads next to one: over heads, or over columns of the state where there is one head. */
const threads = (heads: number, tokens: number): BenchCase =>
  threadsCase(
    {
      op: 'linear',
      name: `linear-threads-h${heads}`,
      title: `two threads, scalar gate, H${heads} T${tokens} K64 V64`,
    },
    () => linearProblem({ heads, tokens, dim: 64, gate: 'scalar' }),
    GATES.scalar.method,
  );

/** Linear attention: gates next to onnxruntime-web, long sequences, decode, threads, small states. */
export const linearCases: BenchCase[] = [
  gates(512),
  gates(2048),
  gates(8192),
  flatCase(
    { op: 'linear', name: 'linear-flat', title: 'time per token, scalar gate, H2 K64 V64, T 65536 and 1024' },
    (tokens) => linearProblem({ heads: 2, tokens, dim: 64, gate: 'scalar' }),
    GATES.scalar.method,
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
          methodEntry(rt, 'wattn, denormal states', denormal, GATES.scalar.method),
          methodEntry(rt, 'wattn, ordinary states', dormantLinear(problem, false), GATES.scalar.method),
          ...(await peerEntries(peers, denormal, { label: 'denormal states' })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, denormal states', against: 'wattn, ordinary states', floor: 0.9 }],
      };
    },
  },
];
