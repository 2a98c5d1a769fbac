import type { Runtime, Tensor } from '../../../index.ts';
import { type BenchCase, type Entry, type Floor, fmaProbe, peerEntries, recurrenceEntry } from '../case.ts';
import { flopsOf, type LinearProblem, withState } from '../problem.ts';

/** Tensors of a problem in a runtime's memory; what the problem has not is not there. */
export type Operands = Readonly<Record<'q' | 'k' | 'v', Tensor>> & { readonly g?: Tensor; readonly beta?: Tensor };

/** A method on the operands of its problem. */
export type Method = (operands: Operands) => Promise<{ o: Tensor; finalState: Tensor }>;

/** Copies a problem's operands in; those of a step have no axis of time. */
function operandsOf(rt: Runtime, problem: LinearProblem, step: boolean): Operands {
  const { heads, tokens, keyDim, valueDim, gate, q, k, v, g, beta } = problem;
  const lead = step ? [1, heads] : [1, tokens, heads];
  return {
    q: rt.tensor(q, [...lead, keyDim]),
    k: rt.tensor(k, [...lead, keyDim]),
    v: rt.tensor(v, [...lead, valueDim]),
    ...(gate === 'none' ? {} : { g: rt.tensor(g, gate === 'vector' ? [...lead, keyDim] : lead) }),
    ...(beta ? { beta: rt.tensor(beta, lead) } : {}),
  };
}

/** An entry that calls a method on tensors that are already in the runtime's memory. */
export function methodEntry(
  rt: Runtime,
  name: string,
  problem: LinearProblem,
  method: Method,
  threads?: number,
): Entry {
  const operands = operandsOf(rt, problem, false);
  return recurrenceEntry({
    name,
    problem,
    ...(threads === undefined ? {} : { threads }),
    inputs: Object.values(operands),
    call: () => method(operands),
  });
}

/** Decode steps in a sample: one call is too short for a clock, and for the promise around a sample. */
const STEPS = 50;

/** An entry that decodes the one token of a problem, writing into tensors that are there. */
export function stepEntry(
  rt: Runtime,
  name: string,
  problem: LinearProblem,
  step: (operands: Operands & { readonly state: Tensor; readonly o: Tensor }) => unknown,
): Entry {
  const { heads, keyDim, valueDim } = problem;
  const initial = problem.initialState ?? new Float32Array(heads * keyDim * valueDim);
  const inputs = {
    ...operandsOf(rt, problem, true),
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
      for (let i = 0; i < STEPS; i++) step(inputs);
    },
    output() {
      inputs.state.view().set(initial);
      step(inputs);
      return withState(inputs.o.view(), inputs.state.view());
    },
    dispose() {
      for (const tensor of Object.values(inputs)) tensor.dispose();
    },
  };
}

/** A case's names. */
type Named = Pick<BenchCase, 'op' | 'name' | 'title'>;

/** What a case of all gates has for each of them. */
export interface Gated {
  /** What the tables call it. */
  readonly label: string;
  readonly method: Method;
  /** What it must reach over onnxruntime-web with the same gate. */
  readonly overPeer: number;
}

/** A method of each gate next to the peers' form of the same problem; that of the scalar gate must reach a share of the FMA peak. */
export function gatesCase(
  named: Named,
  makeProblem: (gate: LinearProblem['gate']) => LinearProblem,
  gates: Readonly<Record<LinearProblem['gate'], Gated>>,
  ofPeak: number,
): BenchCase {
  return {
    ...named,
    async prepare({ rt, probes, peers }) {
      const entries: Entry[] = [];
      const goals: Floor[] = [];
      for (const gate of ['none', 'scalar', 'vector'] as const) {
        const { label, method, overPeer } = gates[gate];
        const problem = makeProblem(gate);
        const of = `wattn, ${label}`;
        entries.push(methodEntry(rt, of, problem, method), ...(await peerEntries(peers, problem, { label })));
        goals.push({ of, against: `onnxruntime-web, ${label}`, floor: { relaxed: overPeer } });
      }
      goals.push({ of: `wattn, ${gates.scalar.label}`, against: { peak: 'fma' }, floor: { relaxed: ofPeak } });
      return { entries, goals, probes: [fmaProbe(probes)] };
    },
  };
}

/** Two threads next to one. */
export function threadsCase(named: Named, makeProblem: () => LinearProblem, method: Method): BenchCase {
  return {
    ...named,
    async prepare({ runtime, probes, peersWith }) {
      const problem = makeProblem();
      return {
        entries: [
          methodEntry(await runtime(2), 'wattn, 2 threads', problem, method, 2),
          methodEntry(await runtime(1), 'wattn, 1 thread', problem, method, 1),
          ...(await peerEntries(await peersWith(2), problem)).map((entry) => ({ ...entry, threads: 2 })),
        ],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, 2 threads', against: 'wattn, 1 thread', floor: 1.7 }],
      };
    },
  };
}

/** One decode step, which may take so many microseconds. */
export function stepCase(
  named: Named,
  makeProblem: () => LinearProblem,
  step: Parameters<typeof stepEntry>[3],
  ceiling: number,
): BenchCase {
  return {
    ...named,
    async prepare({ rt, probes, peers }) {
      const problem = makeProblem();
      return {
        entries: [stepEntry(rt, 'wattn', problem, step), ...(await peerEntries(peers, problem))],
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn', unit: 'microseconds', ceiling }],
      };
    },
  };
}

/** Time of a token in a long sequence next to a short one, which may be 15% more. */
export function flatCase(named: Named, makeProblem: (tokens: number) => LinearProblem, method: Method): BenchCase {
  return {
    ...named,
    async prepare({ rt, probes }) {
      return {
        entries: [65536, 1024].map((tokens) => methodEntry(rt, `wattn, T ${tokens}`, makeProblem(tokens), method)),
        probes: [fmaProbe(probes)],
        goals: [{ of: 'wattn, T 65536', against: 'wattn, T 1024', perFlop: true, floor: 0.87 }],
      };
    },
  };
}
