/**
 * Runs in a process of Node, Deno or Bun, beside node_modules with the package: prints each answer as a line of JSON and
 * must then end by itself.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import type * as Wattn from '../../src/index.ts';
import type { runGpuSuite } from './gpu-suite.ts';
import type { Expectation, GoldenCase, Package, runSuite } from './suite.ts';

/** What a process is asked for. */
export interface Job {
  /** 'suite' disposes every runtime; 'parked' leaves one with idle workers behind; 'early' disposes while they start; 'gpu' is on WebGPU. */
  readonly what: 'suite' | 'parked' | 'early' | 'gpu';
  /** The package as this host imports it. */
  readonly specifier: string;
  /** URL of runtime/control.js, which the package does not export. */
  readonly control: string;
  readonly cases: readonly { readonly name: string; readonly path: string }[];
  readonly expected: Expectation;
  /** URL of Dawn, where there is no navigator.gpu. */
  readonly dawn?: string;
}

const job = JSON.parse(process.argv[2]!) as Job;
const wattn = (await import(job.specifier)) as typeof Wattn;

const golden = () =>
  Promise.all(job.cases.map(async ({ name, path }) => ({ name, bytes: new Uint8Array(await readFile(path)) })));

/** WebGPU of Dawn; the object must stay referenced as long as a device lives. */
async function dawnGpu(url: string): Promise<Wattn.Gpu> {
  const dawn = (await import(url)) as { globals: object; create(options: string[]): Wattn.Gpu };
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create([]);
  Object.assign(globalThis, { keptGpu: gpu });
  return gpu;
}

if (job.what === 'gpu') {
  const { replay } = (await import(`${job.specifier}/cli`)) as Pick<Package, 'replay'>;
  const url: string = './gpu-suite.js';
  const suite = (await import(url)) as { runGpuSuite: typeof runGpuSuite };
  const gpu = job.dawn === undefined ? undefined : await dawnGpu(job.dawn);
  const { seen, checks } = await suite.runGpuSuite({ wattn, replay }, await golden(), gpu);
  console.log(JSON.stringify({ seen }));
  for (const check of checks) console.log(JSON.stringify(check));
} else if (job.what === 'suite') {
  const cache = (await import(`${job.specifier}/cache`)) as Package['cache'];
  const { replay } = (await import(`${job.specifier}/cli`)) as Pick<Package, 'replay'>;
  const { CONTROL } = (await import(job.control)) as { CONTROL: Package['control'] };
  const url: string = './suite.js';
  const suite = (await import(url)) as { runSuite: typeof runSuite };
  const cases: GoldenCase[] = await golden();
  const { seen, checks } = await suite.runSuite({ wattn, cache, replay, control: CONTROL }, cases, job.expected);
  console.log(JSON.stringify({ seen }));
  for (const check of checks) console.log(JSON.stringify(check));
} else {
  const rt = await wattn.createRuntime({ threads: 2 });
  if (job.what === 'early') {
    const waiting = rt.ready();
    rt.dispose();
    await waiting;
  } else {
    await rt.ready();
  }
  const failure = rt.info().threads === 2 ? '' : rt.info().threadsReason;
  console.log(JSON.stringify({ name: `${job.what}: workers start`, failure, detail: '' }));
}
console.log('"end"');
