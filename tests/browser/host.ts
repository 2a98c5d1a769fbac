/**
 * Runs the suite in a page or in a dedicated worker of it; the compiled module serves as both.
 *
 * @module
 */
import type * as Wattn from '../../src/index.ts';
import type { runGpuSuite } from '../portable/gpu-suite.ts';
import type { Expectation, GoldenCase, Package, Report, runSuite } from '../portable/suite.ts';

/** What a page is asked for. */
export interface PageJob {
  /** Where the package's entries are, by their names. */
  readonly entries: Readonly<Record<string, string>>;
  /** Names of the golden cases. */
  readonly cases: readonly string[];
  readonly expected: Expectation;
}

const load = (path: string): Promise<unknown> => import(new URL(path, import.meta.url).href);

async function golden(name: string): Promise<GoldenCase> {
  const response = await fetch(`/vectors/${name}.safetensors`);
  return { name, bytes: new Uint8Array(await response.arrayBuffer()) };
}

/** Runs the suite on WebGPU, on this thread. */
export async function runGpu({ entries, cases }: Omit<PageJob, 'expected'>): Promise<Report> {
  const { replay } = (await load(entries['./cli']!)) as Pick<Package, 'replay'>;
  const wattn = (await load(entries['.']!)) as typeof Wattn;
  const suite = (await load('/tests/gpu-suite.js')) as { runGpuSuite: typeof runGpuSuite };
  return suite.runGpuSuite({ wattn, replay }, await Promise.all(cases.map(golden)));
}

/** Runs the suite on this thread. */
export async function runHere({ entries, cases, expected }: PageJob): Promise<Report> {
  const { replay } = (await load(entries['./cli']!)) as Pick<Package, 'replay'>;
  const { CONTROL } = (await load('/wattn/build/runtime/control.js')) as { CONTROL: Package['control'] };
  const wattn = (await load(entries['.']!)) as typeof Wattn;
  const cache = (await load(entries['./cache']!)) as Package['cache'];
  const suite = (await load('/tests/suite.js')) as { runSuite: typeof runSuite };
  return suite.runSuite({ wattn, cache, replay, control: CONTROL }, await Promise.all(cases.map(golden)), expected);
}

/** Runs the suite in a dedicated worker, whose workers are then nested ones. */
export function runInWorker(job: PageJob): Promise<Report> {
  const worker = new Worker(import.meta.url, { type: 'module' });
  return new Promise<Report>((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.report));
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(job);
  }).finally(() => worker.terminate());
}

/** Runs the suite in a service worker, which holds the package and the golden cases in one file. */
export async function runInServiceWorker({ expected }: PageJob): Promise<Report> {
  const registration = await navigator.serviceWorker.register('/service-worker.js');
  const { active } = await navigator.serviceWorker.ready;
  const { port1, port2 } = new MessageChannel();
  return new Promise<Report>((resolve, reject) => {
    port1.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.report));
    active!.postMessage(expected, [port2]);
  }).finally(() => registration.unregister());
}

/** What `createRuntime` throws, as its name and message; empty if it makes a runtime. */
export async function refusal(entry: string): Promise<string> {
  const { createRuntime } = (await load(entry)) as typeof Wattn;
  try {
    (await createRuntime()).dispose();
    return '';
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

if (typeof document === 'undefined') {
  addEventListener('message', async ({ data }: MessageEvent<PageJob>) => {
    try {
      postMessage({ report: await runHere(data) });
    } catch (error) {
      postMessage({ error: String(error) });
    }
  });
}
