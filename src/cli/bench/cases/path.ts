import { pathAttn, type Runtime } from '../../../index.ts';
import { type BenchCase, type Entry, fmaProbe } from '../case.ts';
import { attentionProblem, flopsOf, type PathProblem, pathProblem } from '../problem.ts';
import { attentionEntry } from './attention.ts';

/** An entry that calls PaTH attention on tensors that are already in the runtime's memory. */
function pathEntry(rt: Runtime, name: string, problem: PathProblem): Entry {
  const { heads, queries, dim, scale } = problem;
  const [q, k, v, w] = [problem.q, problem.k, problem.v, problem.w].map((x) => rt.tensor(x, [1, queries, heads, dim]));
  const inputs = { q: q!, k: k!, v: v!, w: w!, beta: rt.tensor(problem.beta, [1, queries, heads]) };
  return {
    name,
    problem,
    flops: flopsOf(problem),
    async run() {
      (await pathAttn(inputs, { scale })).o.dispose();
    },
    async output() {
      const { o } = await pathAttn(inputs, { scale });
      const data = (await o.data()) as Float32Array;
      o.dispose();
      return data;
    },
    dispose() {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    },
  };
}

/** PaTH attention next to dense causal attention over the same q, k and v. */
export const pathCases: BenchCase[] = [
  {
    op: 'path',
    name: 'path-2048',
    title: 'PaTH and dense causal attention, H8 T2048 D64',
    async prepare({ rt, probes }) {
      const dense = attentionProblem({ heads: 8, queries: 2048, dim: 64, causal: true });
      return {
        entries: [pathEntry(rt, 'wattn, PaTH', pathProblem(dense)), attentionEntry(rt, 'wattn, dense causal', dense)],
        probes: [fmaProbe(probes)],
        // at most 2.5 times the time of dense attention
        goals: [{ of: 'wattn, PaTH', against: 'wattn, dense causal', floor: { relaxed: 0.4 } }],
      };
    },
  },
];
