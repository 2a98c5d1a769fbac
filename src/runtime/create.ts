/**
 * `createRuntime` of the main entry.
 *
 * @module
 */

import type { GpuRuntime } from '../webgpu/gpu-runtime.ts';
import { type GivenModules, givenBuilds } from './builds.ts';
import { INLINED } from './inlined.ts';
import type { Runtime } from './runtime.ts';
import { type StartOptions, startRuntime } from './start.ts';
import type { WasmRuntime } from './wasm-runtime.ts';

/** Options of `createRuntime`. */
export interface RuntimeOptions extends StartOptions {
  /** Builds to use instead of those inside the package, for platforms that only run modules compiled ahead. */
  readonly modules?: GivenModules;
}

/**
 * Compiles the best build for this device, proves it on a small problem and returns a runtime; with `backend: 'webgpu'` a
 * runtime on the GPU.
 *
 * An explicit `backend`, `variant` or `threads` never falls back: if it cannot be had, the call throws.
 *
 * @throws OptionError if an option is out of range, or a build is needed that `modules` has not.
 * @throws UnsupportedError if the device lacks what was asked for.
 * @example using rt = await createRuntime({ threads: 2 })
 */
export async function createRuntime(options?: RuntimeOptions & { backend?: 'wasm' }): Promise<WasmRuntime>;
export async function createRuntime(options: RuntimeOptions & { backend: 'webgpu' }): Promise<GpuRuntime>;
export async function createRuntime(options?: RuntimeOptions): Promise<Runtime>;
export async function createRuntime(options: RuntimeOptions = {}): Promise<Runtime> {
  return startRuntime(options, options.modules ? givenBuilds(options.modules) : INLINED);
}
