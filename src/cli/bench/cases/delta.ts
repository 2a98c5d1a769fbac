import { deltaRule, gatedDeltaRule, gatedDeltaRuleStep, kda } from '../../../index.ts';
import type { BenchCase } from '../case.ts';
import { type LinearProblem, linearProblem } from '../problem.ts';
import { flatCase, type Gated, gatesCase, stepCase, threadsCase } from './recurrence.ts';

/** The methods, with their default scales. */
const GATES: Readonly<Record<LinearProblem['gate'], Gated>> = {
  none: { label: 'delta', method: ({ q, k, v, beta }) => deltaRule({ q, k, v, beta: beta! }), overPeer: 2.4 },
  scalar: {
    label: 'gated delta',
    method: ({ q, k, v, g, beta }) => gatedDeltaRule({ q, k, v, g: g!, beta: beta! }),
    overPeer: 3,
  },
  vector: { label: 'vector gate', method: ({ q, k, v, g, beta }) => kda({ q, k, v, g: g!, beta: beta! }), overPeer: 2 },
};

/** All three gates at one length. */
const gates = (tokens: number): BenchCase =>
  gatesCase(
    { op: 'delta', name: `delta-${tokens}`, title: `delta rule, H8 T${tokens} K64 V64` },
    (gate) => linearProblem({ heads: 8, tokens, dim: 64, gate, delta: true }),
    GATES,
    0.7,
  );

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
    GATES.scalar.method,
  );

/** The delta rule: gates next to onnxruntime-web, long sequences, decode, threads. */
export const deltaCases: BenchCase[] = [
  gates(512),
  gates(2048),
  gates(8192),
  flatCase(
    { op: 'delta', name: 'delta-flat', title: 'time per token, gated delta rule, H2 K64 V64, T 65536 and 1024' },
    (tokens) => problem(2, tokens),
    GATES.scalar.method,
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
