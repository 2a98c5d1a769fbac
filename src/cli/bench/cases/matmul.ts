import { matmul, packMatrix, type Runtime } from '../../../index.ts';
import { type BenchCase, type Entry, fmaProbe, peerEntries } from '../case.ts';
import { flopsOf, type MatmulProblem, matmulProblem } from '../problem.ts';

async function matmulEntry(rt: Runtime, name: string, problem: MatmulProblem, packed: boolean): Promise<Entry> {
  const a = rt.tensor(problem.a, [problem.m, problem.k]);
  const plain = rt.tensor(problem.b, [problem.k, problem.n]);
  const b = packed ? await packMatrix(plain) : plain;
  return {
    name,
    problem,
    flops: flopsOf(problem),
    async run() {
      const { o } = await matmul({ a, b });
      o.dispose();
    },
    async output() {
      const { o } = await matmul({ a, b });
      const data = (await o.data()) as Float32Array;
      o.dispose();
      return data;
    },
    dispose() {
      a.dispose();
      plain.dispose();
      if (b !== plain) b.dispose();
    },
  };
}

/** Matrix products. */
export const matmulCases: BenchCase[] = [
  {
    op: 'matmul',
    name: 'matmul-512',
    title: 'matrix product, 512 x 512 x 512',
    async prepare({ rt, probes, peers }) {
      const problem = matmulProblem(512, 512, 512);
      return {
        entries: [
          await matmulEntry(rt, 'wattn, packed b', problem, true),
          await matmulEntry(rt, 'wattn, b as it is', problem, false),
          ...(await peerEntries(peers, problem)),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, packed b', against: { fastestPeer: true }, floor: 1.7 }],
      };
    },
  },
];
