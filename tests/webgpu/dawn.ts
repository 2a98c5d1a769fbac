/**
 * WebGPU in Node: Dawn on a driver that computes on the processor, or what the environment names.
 *
 * @module
 */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { loadGpu } from '../../src/cli/gpu.ts';
import type { Gpu } from '../../src/index.ts';

/** Dawn's module. */
export const DAWN = fileURLToPath(new URL('node_modules/webgpu/index.js', import.meta.url));
const DRIVER = fileURLToPath(new URL('driver/lavapipe.json', import.meta.url));

/** What is not there that the tests need; empty if they can run. */
export function missingGpu(): string {
  const { WATTN_GPU, VK_DRIVER_FILES } = process.env;
  if (WATTN_GPU === undefined && !existsSync(DAWN)) return DAWN;
  return VK_DRIVER_FILES === undefined && WATTN_GPU === undefined && !existsSync(DRIVER) ? DRIVER : '';
}

/** What the environment of a process must hold that asks a driver. */
export function gpuEnvironment(): Record<string, string> {
  return {
    // the loader reads it when someone looks for drivers
    ...(process.env.VK_DRIVER_FILES !== undefined || existsSync(DRIVER)
      ? { VK_DRIVER_FILES: process.env.VK_DRIVER_FILES ?? DRIVER }
      : {}),
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(),
    // compiling is most of the driver's time, and takes half as long for vectors of four
    LP_NATIVE_VECTOR_WIDTH: process.env.LP_NATIVE_VECTOR_WIDTH ?? '128',
  };
}

let gpu: Promise<Gpu> | undefined;

/**
 * WebGPU for tests, the same object each time. WATTN_GPU names another module of WebGPU, VK_DRIVER_FILES another driver.
 *
 * @throws Error where tests/webgpu/install.sh has not been run, or could not install the driver.
 */
export function testGpu(): Promise<Gpu> {
  const missing = missingGpu();
  if (missing !== '') throw new Error(`${missing} is missing: sh tests/webgpu/install.sh installs it`);
  Object.assign(process.env, gpuEnvironment());
  gpu ??= loadGpu(process.env.WATTN_GPU ?? DAWN);
  return gpu;
}
