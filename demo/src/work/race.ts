/**
 * Methods at rising length: time, memory and distance from dense attention, each output checked before its time counts.
 *
 * @module
 */
import { createRuntime, type Runtime } from 'wattn';
import type { Against, Jobs, Progress, RacePoint } from '../messages.ts';
import { callSync, type Method, methodOf } from './methods.ts';
import { makeProblem, type Problem, repeated, tensorsOf } from './problem.ts';
import { choiceOf, seenBy } from './seen.ts';
import { distance, type Verdict, verify } from './verify.ts';

/** Calls that are never counted: as many, and at least as long; then a rest, in which an engine swaps in what it has optimised. */
const WARM_UP = { calls: 2, milliseconds: 80, rest: 15 };
/** A sample lasts at least so long; clocks of pages that are not isolated tick every 0.1 ms. */
const SAMPLE_MS = 4;
const SAMPLES = { least: 3, enough: 7, milliseconds: 150 };
/** A method whose call would take longer is left out of further lengths. */
const MOST_MS = 6000;

/** The middle value. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

const rest = () => new Promise((resolve) => setTimeout(resolve, WARM_UP.rest));

/** Median milliseconds of a call, after a warm-up. */
async function timeOf(call: () => void): Promise<{ milliseconds: number; samples: number }> {
  const timed = (repeats: number) => {
    const before = performance.now();
    for (let n = 0; n < repeats; ++n) call();
    return (performance.now() - before) / repeats;
  };
  const start = performance.now();
  for (let n = 0; n < WARM_UP.calls || performance.now() - start < WARM_UP.milliseconds; ++n) call();
  await rest();
  const repeats = Math.max(1, Math.ceil(SAMPLE_MS / Math.max(timed(1), 0.001)));
  const samples: number[] = [];
  const begin = performance.now();
  while (
    samples.length < SAMPLES.least ||
    (samples.length < SAMPLES.enough && performance.now() - begin < SAMPLES.milliseconds)
  ) {
    samples.push(timed(repeats));
  }
  return { milliseconds: median(samples), samples: samples.length };
}

/** A runtime of its own for each measurement, so that its memory is the call's alone. */
async function withRuntime<R>(use: (rt: Runtime) => R | Promise<R>): Promise<R> {
  // Safari has no `using` yet, nor the symbol that it would look for
  const rt = await createRuntime();
  try {
    await rt.ready();
    return await use(rt);
  } finally {
    rt.dispose();
  }
}

/** The output of dense attention. */
function denseOutput(problem: Problem, against: Against): Promise<Float32Array> {
  const dense = { ...methodOf('dense'), options: () => ({ causal: against === 'causal' }) };
  return withRuntime((rt) => callSync(dense, tensorsOf(rt, problem), 64).o.dataSync() as Float32Array);
}

/** Measures one method. */
async function measure(
  rt: Runtime,
  problem: Problem,
  method: Method,
  block: number,
  dense: Float32Array | undefined,
): Promise<Omit<RacePoint, 'method' | 'length'>> {
  const tensors = tensorsOf(rt, problem, method.extra);
  const before = rt.memory().used;
  const o = rt.scope(() => callSync(method, tensors, block).o.dataSync() as Float32Array);
  const bytes = rt.memory().peak - before;
  const choice = rt.scope(() => method.choice && choiceOf(callSync(method, tensors, block, { returnSelection: true })));
  let verdict: Verdict;
  try {
    verdict = verify(problem, o, method.check, seenBy(method, choice, block, problem.length));
  } catch (error) {
    verdict = { passed: false, text: (error as Error).message };
  }
  const { milliseconds, samples } = await timeOf(() => rt.scope(() => void callSync(method, tensors, block)));
  return {
    milliseconds,
    samples,
    bytes,
    ...(dense && { error: distance(o, dense) }),
    check: verdict.text,
    passed: verdict.passed,
  };
}

/** Runs the race; `maker` makes the operands. `turn` is awaited between measurements and told how far it is. */
export async function race(
  maker: Runtime,
  { tokens, methods, lengths, block }: Jobs['race']['given'],
  tell: (point: RacePoint) => void,
  turn: (progress: Progress) => Promise<void>,
): Promise<Jobs['race']['result']> {
  const running = methods.map(methodOf);
  const last = new Map<Method, { milliseconds: number; length: number }>();
  let done = 0;
  const total = running.length * lengths.length;
  for (const length of [...lengths].sort((a, b) => a - b)) {
    await turn({ done, total, label: `text of ${length} tokens` });
    const problem = makeProblem(maker, repeated(tokens, length));
    const dense: Partial<Record<Against, Float32Array>> = {};
    for (const method of running) {
      await turn({ done, total, label: `${method.label} at ${length} tokens` });
      const { against, id } = method;
      const before = last.get(method);
      // an estimate for a method whose time grows with the square
      const expected = before ? before.milliseconds * (length / before.length) ** 2 : 0;
      if (expected > MOST_MS) {
        const check = `left out: a call could take ${(expected / 1000).toFixed(0)} s`;
        tell({ method: id, length, milliseconds: Number.NaN, samples: 0, bytes: Number.NaN, check, passed: false });
      } else {
        if (against) dense[against] ??= await denseOutput(problem, against);
        const reference = against && id !== 'dense' ? dense[against] : undefined;
        const point = await withRuntime((rt) => measure(rt, problem, method, block, reference));
        last.set(method, { milliseconds: point.milliseconds, length });
        tell({ method: id, length, ...point });
      }
      done += 1;
    }
  }
  await turn({ done, total, label: 'done' });
  const info = maker.info();
  return { threads: info.backend === 'wasm' ? info.threads : 0 };
}
