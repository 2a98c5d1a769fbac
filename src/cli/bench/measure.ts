import Benchmark from 'benchmark';
import type { Contender } from './contender.ts';

/** How long a case is measured. */
export interface Effort {
  /** rounds; in each, every contender is sampled once, one after the other */
  rounds: number;
  /** samples that benchmark.js takes of a contender in one round */
  samples: number;
  /** seconds that one sample lasts at least, so short calls are repeated within it */
  minTime: number;
  /** seconds after which a slow contender is left out of further rounds (it takes part in three at least) */
  budget: number;
}

/** Enough for medians that repeat within a few percent on a quiet machine. */
export const defaultEffort: Effort = { rounds: 9, samples: 3, minTime: 0.01, budget: 6 };

/** Times of one contender. */
export interface Timing {
  /** milliseconds of one call, median over all samples */
  median: number;
  /** the fastest tenth of the samples is below this: what a disturbed machine still shows */
  best: number;
  /** interquartile range over the median */
  spread: number;
  /** milliseconds of one call, every sample of every round */
  samples: number[];
  /** what benchmark.js says of each round, in seconds of a contender's `run`: mean, deviation, margin of error (moe, rme) of its samples */
  rounds: Omit<Benchmark.Stats, 'sample'>[];
}

/** A figure of the machine that is taken once in each round, beside the contenders. */
export interface Probe {
  name: string;
  read(): Promise<number> | number;
}

/** The value below which a share of the values lie (linear between neighbours). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

/** The middle value. */
export const median = (values: readonly number[]): number => quantile(values, 0.5);

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Calls a contender until V8 has optimised what it runs: 20 calls or 100 ms, at least 3 calls, with a rest between them so
 * that code compiled in the background is published (V8 does not swap the code of a wasm function that is running).
 * Returns the milliseconds of the last call.
 */
async function warmUp(contender: Contender): Promise<number> {
  let last = 0;
  for (const calls of [20, 3]) {
    const started = performance.now();
    for (let call = 0; call < calls; call++) {
      const before = performance.now();
      await contender.run();
      last = performance.now() - before;
      if (call >= 1 && performance.now() - started > 100) break;
    }
    await pause(10);
  }
  return last;
}

/** Runs benchmark.js once on a contender; count is the number of calls in a sample, to start the next run with. */
function sample(
  contender: Contender,
  { samples, minTime }: Effort,
  initCount: number,
): Promise<{ stats: Benchmark.Stats; count: number }> {
  return new Promise((resolve, reject) => {
    let failure: unknown;
    const benchmark = new Benchmark(contender.name, {
      defer: true,
      async: true,
      minSamples: samples,
      minTime,
      maxTime: 0,
      initCount,
      fn(deferred: Benchmark.Deferred & { resolve(): void }) {
        const fail = (error: unknown) => {
          failure ??= error;
          deferred.resolve();
        };
        // always through a promise: a call that resolved at once would nest as deep as a sample has calls
        new Promise((done) => done(failure ? undefined : contender.run())).then(() => deferred.resolve(), fail);
      },
      onComplete(this: Benchmark) {
        if (failure) reject(failure);
        else resolve({ stats: this.stats, count: this.count });
      },
    } as Benchmark.Options);
    benchmark.run();
  });
}

/**
 * Times contenders and probes against each other: warm-up, then interleaved rounds, each starting with another contender, so
 * that a slow phase of the machine falls on all alike.
 */
export async function measure(
  contenders: readonly Contender[],
  probes: readonly Probe[],
  effort: Effort,
): Promise<{ timings: Map<Contender, Timing>; probed: Map<Probe, number> }> {
  const runs = [];
  for (const contender of contenders) {
    const call = await warmUp(contender);
    runs.push({
      contender,
      count: Math.max(1, Math.floor((effort.minTime * 1e3) / call)),
      // three samples of a call that takes a good part of a second say no more than one
      effort: { ...effort, samples: call > 200 ? 1 : effort.samples },
      spent: 0,
      samples: [] as number[],
      rounds: [] as Timing['rounds'],
    });
  }
  const readings = probes.map((probe) => ({ probe, values: [] as number[] }));
  for (const { probe } of readings) await probe.read();
  for (let round = 0; round < effort.rounds; round++) {
    for (let turn = 0; turn < runs.length; turn++) {
      const run = runs[(round + turn) % runs.length]!;
      if (run.rounds.length >= 3 && run.spent > effort.budget) continue;
      const started = performance.now();
      const { stats, count } = await sample(run.contender, run.effort, run.count);
      run.spent += (performance.now() - started) / 1e3;
      run.count = count;
      const { sample: seconds, ...rest } = stats;
      run.samples.push(...seconds.map((second) => (second * 1e3) / (run.contender.calls ?? 1)));
      run.rounds.push(rest);
    }
    for (const { probe, values } of readings) values.push(await probe.read());
  }
  return {
    timings: new Map(
      runs.map(({ contender, samples, rounds }) => {
        const middle = median(samples);
        const spread = (quantile(samples, 0.75) - quantile(samples, 0.25)) / middle;
        return [contender, { median: middle, best: quantile(samples, 0.1), spread, samples, rounds }];
      }),
    ),
    probed: new Map(readings.map(({ probe, values }) => [probe, median(values)])),
  };
}

/**
 * Whether two sets of samples differ by more than chance (Mann-Whitney U test of benchmark.js, 5%):
 * 1 when `a` is faster, -1 when it is slower, 0 when one cannot tell.
 */
export function compareSamples(a: readonly number[], b: readonly number[]): number {
  const withSamples = (samples: readonly number[]) => {
    const benchmark = new Benchmark(() => {});
    benchmark.stats.sample = [...samples];
    return benchmark;
  };
  return withSamples(a).compare(withSamples(b));
}
