import { deltaRule, gatedDeltaRule, gatedDeltaRuleStep, kda } from '../../../index.ts';
import { type BenchCase, type Entry, type Floor, fmaProbe, peerEntries } from '../case.ts';
import { type LinearProblem, linearProblem } from '../problem.ts';
import { flatCase, type Method, methodEntry, stepCase, threadsCase } from './recurrence.ts';

/** The method of each gate; scale is the default. */
const METHODS: Readonly<Record<LinearProblem['gate'], Method>> = {
  none: ({ q, k, v, beta }) => deltaRule({ q, k, v, beta: beta! }),
  scalar: ({ q, k, v, g, beta }) => gatedDeltaRule({ q, k, v, g: g!, beta: beta! }),
  vector: ({ q, k, v, g, beta }) => kda({ q, k, v, g: g!, beta: beta! }),
};

/** How the gates are called in the tables. */
const LABELS = { none: 'delta', scalar: 'gated delta', vector: 'vector gate' } as const;

/** What each must reach over onnxruntime-web with the same gate. */
const OVER_PEER = { none: 2.4, scalar: 3, vector: 2 } as const;

/** The delta rule with each gate at one length, next to the peers' form of the same problem. */
const gates = (tokens: number): BenchCase => ({
  op: 'delta',
  name: `delta-${tokens}`,
  title: `delta rule, H8 T${tokens} K64 V64`,
  async prepare({ rt, probes, peers }) {
    const entries: Entry[] = [];
    const goals: Floor[] = [];
    for (const gate of ['none', 'scalar', 'vector'] as const) {
      const problem = linearProblem({ heads: 8, tokens, dim: 64, gate, delta: true });
      const label = LABELS[gate];
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
    goals.push({ of: `wattn, ${LABELS.scalar}`, against: { peak: 'fma' }, floor: { relaxed: 0.7 } });
    return { entries, goals, probes: [fmaProbe(probes)] };
  },
});

const problem = (heads: number, tokens: number): LinearProblem =>
  linearProblem({ heads, tokens, dim: 64, gate: 'scalar', delta: true });

/** Two threads next to one: over heads, or over columns of the state where there is one head. */
const threads = (heads: number, tokens: number): BenchCase =>
  threadsCase(
    {
      op: 'delta',
      name: `delta-threads-h${heads}`,
      title: `two threads, gated delta rule, H${heads} T${tokens} K64 V64`,
    },
    () => problem(heads, tokens),
    METHODS.scalar,
  );

/** The delta rule: gates next to onnxruntime-web, long sequences, decode, threads. */
export const deltaCases: BenchCase[] = [
  gates(512),
  gates(2048),
  gates(8192),
  flatCase(
    { op: 'delta', name: 'delta-flat', title: 'time per token, gated delta rule, H2 K64 V64, T 65536 and 1024' },
    (tokens) => problem(2, tokens),
    METHODS.scalar,
  ),
  stepCase(
    { op: 'delta', name: 'delta-step', title: 'one decode step, gated delta rule, H8 K64 V64' },
    () => linearProblem({ heads: 8, tokens: 1, dim: 64, gate: 'scalar', delta: true, carried: true }),
    ({ q, k, v, g, beta, state, o }) => gatedDeltaRuleStep({ q, k, v, g: g!, beta: beta!, state, o }),
    30,
  ),
  threads(8, 2048),
  threads(1, 16384),
];
