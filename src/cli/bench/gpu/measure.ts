/**
 * Times of calls on a GPU. The queue runs ahead of the host, and a GPU's own clocks are coarse: so what is timed is a batch of
 * calls with one wait behind it.
 *
 * @module
 */

/** Something to time. */
export interface Timed {
  /** Starts a call; the work may still be in a queue when it returns. */
  run(): Promise<unknown> | unknown;
  /** Waits for all that was started. */
  settle(): Promise<unknown>;
}

/** How long to measure. */
export interface GpuEffort {
  /** Rounds; in each, every contender is timed once. */
  readonly rounds: number;
  /** Milliseconds of a batch. */
  readonly batch: number;
}

/** Times of one contender. */
export interface GpuTiming {
  /** Milliseconds of a call: the median of all rounds, and the best. */
  readonly median: number;
  readonly best: number;
  /** Milliseconds of a call that the host spends on laying it out and submitting it. */
  readonly host: number;
  /** Milliseconds until the first call had ended, with all that it compiles. */
  readonly first: number;
  readonly calls: number;
  readonly samples: readonly number[];
}

const middle = (values: readonly number[]) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
};

/** Milliseconds of a call in a batch, and of it the host's part. */
async function batch({ run, settle }: Timed, calls: number): Promise<{ time: number; host: number }> {
  await settle();
  const start = performance.now();
  for (let i = 0; i < calls; ++i) await run();
  const submitted = performance.now();
  await settle();
  return { time: (performance.now() - start) / calls, host: (submitted - start) / calls };
}

/** Times contenders in interleaved rounds, each starting with another one. */
export async function measureGpu(contenders: readonly Timed[], effort: GpuEffort): Promise<GpuTiming[]> {
  const runs: { timed: Timed; first: number; calls: number; samples: number[]; hosts: number[] }[] = [];
  for (const timed of contenders) {
    const { time: first } = await batch(timed, 1);
    let calls = 1;
    // the clock of a GPU rises while it works: the second trial counts
    for (let trial = 0; trial < 3; ++trial) {
      const { time } = await batch(timed, calls);
      calls = Math.min(1000, Math.max(1, Math.ceil(effort.batch / time)));
    }
    runs.push({ timed, first, calls, samples: [], hosts: [] });
  }
  for (let round = 0; round < effort.rounds; ++round) {
    for (let turn = 0; turn < runs.length; ++turn) {
      const { timed, calls, samples, hosts } = runs[(round + turn) % runs.length]!;
      const { time, host } = await batch(timed, calls);
      samples.push(time);
      hosts.push(host);
    }
  }
  return runs.map(({ first, calls, samples, hosts }) => ({
    median: middle(samples),
    best: Math.min(...samples),
    host: middle(hosts),
    first,
    calls,
    samples,
  }));
}
