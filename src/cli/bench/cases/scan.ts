import { type Runtime, selectiveScan } from '../../../index.ts';
import { type BenchCase, type Entry, fmaProbe, peerEntries, recurrenceEntry } from '../case.ts';
import { dormantScan, type ScanProblem, scanProblem } from '../problem.ts';

const SIZE = { tokens: 512, channels: 1024, states: 16 };

/** An entry that calls selectiveScan on tensors that are already in the runtime's memory. */
function scanEntry(rt: Runtime, name: string, problem: ScanProblem, threads?: number): Entry {
  const { tokens, channels, states } = problem;
  const inputs = {
    u: rt.tensor(problem.u, [1, tokens, channels]),
    delta: rt.tensor(problem.delta, [1, tokens, channels]),
    A: rt.tensor(problem.a, [channels, states]),
    B: rt.tensor(problem.b, [1, tokens, states]),
    C: rt.tensor(problem.c, [1, tokens, states]),
  };
  return recurrenceEntry({
    name,
    problem,
    ...(threads === undefined ? {} : { threads }),
    inputs: Object.values(inputs),
    call: () => selectiveScan(inputs, { deltaSoftplus: true }),
  });
}

/** Mamba's selective scan: next to a plain loop, threads, small states. */
export const scanCases: BenchCase[] = [
  {
    op: 'scan',
    name: 'selective-scan',
    title: 'selective scan, D1024 N16 T512',
    async prepare({ rt, probes, peers }) {
      const problem = scanProblem(SIZE);
      return {
        entries: [scanEntry(rt, 'wattn', problem), ...(await peerEntries(peers, problem))],
        probes: [fmaProbe(probes)],
        goals: [
          { of: 'wattn', against: 'plain JavaScript', floor: { relaxed: 15 } },
          { of: 'wattn', unit: 'cycles', ceiling: { relaxed: 8 } },
        ],
      };
    },
  },
  {
    op: 'scan',
    name: 'selective-scan-denormal',
    title: 'states that decay to denormal numbers, selective scan, D1024 N16 T512',
    async prepare({ rt, probes, peers }) {
      const problem = scanProblem(SIZE);
      const denormal = dormantScan(problem, true);
      return {
        entries: [
          scanEntry(rt, 'wattn, denormal states', denormal),
          scanEntry(rt, 'wattn, ordinary states', dormantScan(problem, false)),
          ...(await peerEntries(peers, denormal, { label: 'denormal states' })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, denormal states', against: 'wattn, ordinary states', floor: 0.9 }],
      };
    },
  },
  {
    op: 'scan',
    name: 'selective-scan-threads',
    title: 'two threads, selective scan, D1024 N16 T512',
    async prepare({ runtime, probes }) {
      const problem = scanProblem(SIZE);
      const two = await runtime(2);
      const one = await runtime(1);
      return {
        entries: [scanEntry(two, 'wattn, 2 threads', problem, 2), scanEntry(one, 'wattn, 1 thread', problem, 1)],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, 2 threads', against: 'wattn, 1 thread', floor: 1.7 }],
      };
    },
  },
];
