/**
 * What this device supports and gives.
 *
 * @module
 */
import { createRuntime, type Runtime } from 'wattn';
import type { DeviceReport, Progress } from '../messages.ts';

const PROBE_MS = 250;
const CACHED_BYTES = 2 ** 18;
const MEMORY_BYTES = 2 ** 26;

/** The report; peaks are those of one thread. */
export async function deviceReport(rt: Runtime, turn: (progress: Progress) => Promise<void>): Promise<DeviceReport> {
  await rt.ready();
  const step = (done: number, label: string) => turn({ done, total: 3, label });
  await step(0, 'multiply-adds');
  const fma = rt.probe('fma', PROBE_MS);
  await step(1, 'reading from the cache');
  const cached = rt.probe('read', CACHED_BYTES);
  await step(2, 'reading from memory');
  // a runtime of its own: what it reads would stay reserved
  const apart = await createRuntime({ threads: 1 });
  const memory = apart.probe('read', MEMORY_BYTES);
  apart.dispose();
  const info = rt.info();
  if (info.backend !== 'wasm') throw new TypeError(`the report is of WebAssembly, the runtime of ${info.backend}`);
  const { backend, build, variant, variantReason, threads, threadsReason, host } = info;
  const said = (value: true | string) => (value === true ? 'yes' : `no: ${value}`);
  return {
    'user agent': navigator.userAgent,
    backend,
    build,
    variant: `${variant} (${variantReason})`,
    threads: `${threads} (${threadsReason})`,
    'cross-origin isolated': crossOriginIsolated ? 'yes' : 'no',
    'shared memory': said(host.sharedMemory),
    workers: said(host.workers),
    processors: host.processors,
    'wasm SIMD': host.simd ? 'yes' : 'no',
    'relaxed SIMD': host.relaxedSimd ? 'yes' : 'no',
    'multiply-adds, one thread': `${fma.toFixed(1)} GFLOP/s`,
    'reads from cache, one thread': `${cached.toFixed(1)} GB/s`,
    'reads from memory, one thread': `${memory.toFixed(1)} GB/s`,
    'largest memory': `${(rt.memory().limit / 2 ** 30).toFixed(0)} GiB`,
  };
}
