/**
 * `wattn info` as text.
 *
 * @module
 */
import type { WasmRuntime } from '../index.ts';

/** What the device supports and what a runtime uses, a line each. */
export function describe(rt: WasmRuntime): string {
  const { host, ...info } = rt.info();
  const yes = (value: true | string) => (value === true ? 'yes' : `no: ${value}`);
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const rows = [
    ['runtime', host.runtime],
    ['processors', String(host.processors)],
    ['SIMD', host.simd ? 'yes' : 'no'],
    ['relaxed SIMD', host.relaxedSimd ? 'yes' : 'no'],
    ['shared memory', yes(host.sharedMemory)],
    ['workers', yes(host.workers)],
    ['backend', info.backend],
    ['build', `${info.build} (${info.variantReason})`],
    ['threads', `${info.threads} (${info.threadsReason})`],
    ['memory', `${mib(info.memory.reserved)} reserved, at most ${mib(info.memory.limit)}`],
    ['multiply-add peak', `${rt.probe('fma', 100).toFixed(1)} GFLOP/s on one thread`],
    ['memory read', `${rt.probe('read', 2 ** 27).toFixed(1)} GB/s on one thread, 128 MiB`],
  ];
  return rows.map(([name, value]) => `${name!.padEnd(18)} ${value}`).join('\n');
}
