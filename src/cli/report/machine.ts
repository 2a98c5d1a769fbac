/**
 * The machine that a report was made on.
 *
 * @module
 */
import { cpus, totalmem } from 'node:os';
import process from 'node:process';
import type { RuntimeInfo } from '../../index.ts';

/** What a report says of the machine, and how long it took. */
export interface Made {
  /** The processor and the memory that this machine says it has. */
  readonly device: string;
  readonly machine: RuntimeInfo;
  readonly seconds: number;
}

/** The processor, memory and engine of this machine, and the runtime. */
export function made(machine: RuntimeInfo, start: number): Made {
  const model = cpus()[0]?.model.trim() || 'a processor without a name';
  const engine = process.versions.bun
    ? `Bun ${process.versions.bun}`
    : process.versions.deno
      ? `Deno ${process.versions.deno}`
      : `Node ${process.versions.node}`;
  const device = `${model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${engine}`;
  return { device, machine, seconds: (performance.now() - start) / 1000 };
}

/** All of it in a line. */
export function machineLine({ device, machine, seconds }: Made): string {
  const what =
    machine.backend === 'wasm'
      ? `${machine.build}, ${machine.threads} of ${machine.host.processors} processors`
      : `WebGPU, ${machine.gpu.description || machine.gpu.vendor}`;
  return `${device}; ${what}; ${seconds.toFixed(0)} s in all`;
}
