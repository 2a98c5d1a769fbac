/**
 * Runs the suite in a page or in a dedicated worker of it; the compiled module serves as both.
 *
 * @module
 */
import type * as Wattn from '../../src/index.ts';
import type { Check, Expectation, GoldenCase, Package, runSuite } from '../portable/suite.ts';

/** Names of the golden cases, and what the page is expected to be. */
export interface PageJob {
  readonly cases: readonly string[];
  readonly expected: Expectation;
}

async function builtPackage(): Promise<Package> {
  const load = (path: string): Promise<unknown> => import(new URL(path, import.meta.url).href);
  const { replay } = (await load('/build/cli/replay.js')) as Pick<Package, 'replay'>;
  const { CONTROL } = (await load('/build/runtime/control.js')) as { CONTROL: Package['control'] };
  return { wattn: (await load('/build/index.js')) as typeof Wattn, replay, control: CONTROL };
}

/** Runs the suite on this thread. */
export async function runHere({ cases, expected }: PageJob): Promise<Check[]> {
  const url = '/tests/suite.js';
  const suite = (await import(url)) as { runSuite: typeof runSuite };
  const load = async (name: string): Promise<GoldenCase> => {
    const response = await fetch(`/vectors/${name}.safetensors`);
    return { name, bytes: new Uint8Array(await response.arrayBuffer()) };
  };
  return suite.runSuite(await builtPackage(), await Promise.all(cases.map(load)), expected);
}

/** Runs the suite in a dedicated worker, whose workers are then nested ones. */
export function runInWorker(job: PageJob): Promise<Check[]> {
  const worker = new Worker(import.meta.url, { type: 'module' });
  return new Promise<Check[]>((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.checks));
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(job);
  }).finally(() => worker.terminate());
}

/** A large attention whose values are all 1/2, and what the runtime says of itself afterwards. */
export async function attend(options: Wattn.RuntimeOptions): Promise<{ o: number; threads: number; reason: string }> {
  const { wattn } = await builtPackage();
  using rt = await wattn.createRuntime(options);
  await rt.ready();
  const x = rt.tensor(new Float32Array(1024 * 4 * 64).fill(0.5), [1, 1024, 4, 64]);
  const { o } = await wattn.attention({ q: x, k: x, v: x });
  const { threads, threadsReason } = rt.info();
  return { o: o.dataSync().at(-1)!, threads, reason: threadsReason };
}

if (typeof document === 'undefined') {
  addEventListener('message', async ({ data }: MessageEvent<PageJob>) => {
    try {
      postMessage({ checks: await runHere(data) });
    } catch (error) {
      postMessage({ error: String(error) });
    }
  });
}
