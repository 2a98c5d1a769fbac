import type { Runtime, Tensor, WasmRuntime } from '../../index.ts';
import type { Contender, Peer } from './contender.ts';
import type { Probe } from './measure.ts';
import { flopsOf, type Problem, withState } from './problem.ts';

/** A contender with what it computes: the work behind its rates and the problem that its result is checked against. */
export interface Entry extends Contender {
  problem: Problem;
  flops: number;
  /** bytes of the cache that one call must read, where that is what limits it */
  bytes?: number;
  /** keys and values that it reads */
  caches?: readonly Tensor[];
  /** threads it uses; its share of the FMA peak counts that many */
  threads?: number;
  /** error allowed, as a share of the largest value, where it is more than the float32 bound */
  relative?: number;
  peer?: boolean;
}

/** What a case holds itself to. A build that is not named promises nothing, and is not judged. */
export type Goal = Floor | Ceiling | Budget;

/** A figure for both builds, or for those that are named. */
export type Limit = number | { simd?: number; relaxed: number };

/** Ratios are of medians: time of `against` over time of `of`. */
export interface Floor {
  of: string;
  /** an entry, the fastest peer, or a measured peak of the machine */
  against: string | { fastestPeer: true } | { peak: 'fma' | 'read' };
  /** compare operations per second instead of times (the two do different amounts of work) */
  perFlop?: boolean;
  floor: Limit;
}

/** A cost of one entry: microseconds of a call, or cycles of four state elements by the clock that the FMA peak implies. */
export interface Ceiling {
  of: string;
  unit: 'microseconds' | 'cycles';
  ceiling: Limit;
}

/** Time of a sparse method beside its selection, over that share of dense attention which its density is: at most `budget`. */
export interface Budget {
  of: string;
  dense: string;
  /** the entry that only selects, where there is one */
  selection?: string;
  /** visible pairs over those of `dense` */
  density: number;
  budget: Limit;
}

/** What a case needs to set itself up. */
export interface BenchContext {
  rt: WasmRuntime;
  /** one thread, only for probes: their buffers stay out of the memory that is measured */
  probes: WasmRuntime;
  /** further runtimes; they are disposed after the case */
  runtime(threads: number): Promise<WasmRuntime>;
  threads: number;
  peers: readonly Peer[];
  /** peers that use another number of threads */
  peersWith(threads: number): Promise<readonly Peer[]>;
}

/** Entries and probes of a case; the first entry is the one that ratios are given for. */
export interface PreparedCase {
  entries: Entry[];
  probes: Probe[];
  goals: Goal[];
}

/** One row group of the benchmark. */
export interface BenchCase {
  op: string;
  name: string;
  title: string;
  prepare(context: BenchContext): Promise<PreparedCase>;
}

/** Probe of multiply-adds per second, in GFLOP/s that one thread keeps up for as long as an entry's samples last. */
export const FMA_PEAK = 'fma';
/** Probe of a plain SIMD read of as many bytes as the case reads, in GB/s. */
export const READ_PEAK = 'read';

/** Milliseconds of a probe, and of one run in it. */
const PROBE_TIME = 30;
const PROBE_RUN = 0.1;

/**
 * The probe of FMA_PEAK. Its figure is the mean of a span of time, as an entry's samples are: what the best moment of a disturbed machine
 * shows would be a peak that no entry's median can be compared with.
 */
export const fmaProbe = (rt: Runtime): Probe => ({
  name: FMA_PEAK,
  read() {
    let runs = 0;
    let times = 0;
    for (const end = performance.now() + PROBE_TIME; performance.now() < end; runs++)
      times += 1 / rt.probe('fma', PROBE_RUN);
    return runs / times;
  },
});

/** Entries of the peers that solve a problem; `label` tells a case's problems apart. */
export async function peerEntries(
  peers: readonly Peer[],
  problem: Problem,
  { bytes, label }: { bytes?: number; label?: string } = {},
): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const peer of peers) {
    const contender = await peer.prepare(problem);
    if (!contender) continue;
    entries.push({
      name: label ? `${contender.name}, ${label}` : contender.name,
      run: () => contender.run(),
      output: () => contender.output(),
      dispose: () => contender.dispose?.(),
      ...(contender.note === undefined ? {} : { note: contender.note }),
      ...(bytes === undefined ? {} : { bytes }),
      problem,
      flops: flopsOf(problem),
      // they need only compute the same thing; this is ONNX's own tolerance
      relative: 1e-3,
      peer: true,
    });
  }
  return entries;
}

/** An entry of a recurrence: a call on tensors in a runtime's memory that gives outputs and the final state. */
export function recurrenceEntry({
  call,
  inputs,
  ...entry
}: Pick<Entry, 'name' | 'problem'> &
  Partial<Entry> & {
    call(): Promise<{ o: Tensor; finalState: Tensor }>;
    /** disposed with the entry */
    inputs: readonly Tensor[];
  }): Entry {
  const once = async <T>(read: (result: { o: Tensor; finalState: Tensor }) => T): Promise<T> => {
    const result = await call();
    const value = read(result);
    result.o.dispose();
    result.finalState.dispose();
    return value;
  };
  return {
    flops: flopsOf(entry.problem),
    ...entry,
    run: () => once(() => {}),
    output: () => once(({ o, finalState }) => withState(o.dataSync(), finalState.dataSync())),
    dispose() {
      for (const tensor of inputs) tensor.dispose();
    },
  };
}
