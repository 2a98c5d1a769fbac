/**
 * What `bench/browser.ts` measures inside a page.
 *
 * @module
 */
import type * as Wattn from '../src/index.ts';

/** A problem of attention: queries, keys and values of one shape. */
export interface Shape {
  readonly T: number;
  readonly H: number;
  readonly D: number;
}

const load = async (url: string) => (await import(url)) as typeof Wattn;

function operands(rt: Wattn.Runtime, { T, H, D }: Shape) {
  const data = Float32Array.from({ length: T * H * D }, (_, i) => Math.sin(i * 0.7) * Math.cos(i * 0.013));
  const next = () => rt.tensor(data, [1, T, H, D]);
  return { q: next(), k: next(), v: next() };
}

/** Milliseconds of each call, one runtime after the other in every round. */
export async function threads(url: string, shape: Shape, counts: readonly number[], rounds: number) {
  const wattn = await load(url);
  const contenders = [];
  for (const count of counts) {
    const rt = await wattn.createRuntime({ threads: count });
    const inputs = operands(rt, shape);
    await rt.ready();
    const call = async () => {
      const start = performance.now();
      const { o, lse } = await wattn.attention(inputs);
      const milliseconds = performance.now() - start;
      o.dispose();
      lse.dispose();
      return milliseconds;
    };
    // until the engine has its optimised code
    for (let i = 0; i < 4; ++i) await call();
    contenders.push({ rt, call, milliseconds: [] as number[] });
  }
  for (let round = 0; round < rounds; ++round)
    for (const { call, milliseconds } of contenders) milliseconds.push(await call());
  return contenders.map(({ rt, milliseconds }) => {
    const { threads, threadsReason, build } = rt.info();
    rt.dispose();
    return { threads, threadsReason, build, milliseconds };
  });
}

/** Milliseconds of the import, of createRuntime, and of the first call with its result read. */
export async function cold(url: string, shape: Shape) {
  const times = [performance.now()];
  const wattn = await load(url);
  times.push(performance.now());
  const rt = await wattn.createRuntime();
  times.push(performance.now());
  const { o } = await wattn.attention(operands(rt, shape));
  o.dataSync();
  times.push(performance.now());
  const { build, threads } = rt.info();
  rt.dispose();
  const [load0, create0, first0, end] = times as [number, number, number, number];
  return { build, threads, imported: create0 - load0, created: first0 - create0, called: end - first0 };
}
