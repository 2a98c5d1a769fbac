/**
 * Starts runtimes on a GPU, and tells whether one pays.
 *
 * @module
 */
import { UnsupportedError } from '../errors.ts';
import { ProbeParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { WasmRuntime } from '../runtime/wasm-runtime.ts';
import { type Gpu, requestDevice } from './device.ts';
import { GpuRuntime } from './gpu-runtime.ts';
import { PROBE_FLOPS } from './kernels/probe.ts';

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

/** The call that both backends are judged by: attention of about a thousand tokens and eight heads, whose result is read. */
const JUDGED_FLOPS = 2 ** 31;
const JUDGED_BYTES = 2 ** 21;
/** What kernels reach of the peak of multiply-adds, as measured with attention on several devices. */
const WASM_SHARE = 0.6;
const GPU_SHARE = 0.4;
const PROBE_MS = 20;
const PROBE_STEPS = 256;
const PROBE_GROUPS = 256;

/** Milliseconds of work on a GPU, once its pipelines are there. */
async function timed(rt: GpuRuntime, work: () => Promise<unknown>): Promise<number> {
  await work();
  await rt.ready();
  const start = performance.now();
  await work();
  await rt.ready();
  return performance.now() - start;
}

/** Milliseconds that the judged call takes on a GPU, by its peak and by a readback of as many bytes. */
async function gpuMilliseconds(rt: GpuRuntime): Promise<number> {
  const result = rt.empty([JUDGED_BYTES / 4]);
  const params = encode(ProbeParams, { steps: PROBE_STEPS, address: result.address });
  const dispatch = { kernel: 'probeFma', params, items: PROBE_GROUPS, flops: 0 } as const;
  const idle = await timed(rt, async () => {});
  const busy = await timed(rt, () => rt.run([dispatch]));
  const read = await timed(rt, () => result.data());
  result.dispose();
  const flopsInMs = (PROBE_GROUPS * PROBE_STEPS * PROBE_FLOPS) / Math.max(0.01, busy - idle);
  return JUDGED_FLOPS / (GPU_SHARE * flopsInMs) + read;
}

/**
 * The backend that a call of some two billion operations, whose result is read back, is faster on: both are measured. The other one's
 * runtime is disposed.
 */
export async function fasterOf(wasm: WasmRuntime, options: GpuOptions): Promise<Runtime> {
  const stay = (reason: string) => {
    wasm.explainBackend(reason);
    return wasm;
  };
  let rt: GpuRuntime;
  try {
    rt = await startGpu({ ...options, reason: '' });
  } catch (error) {
    if (error instanceof UnsupportedError) return stay(`measured alone: ${error.message}`);
    throw error;
  }
  const onWasm = JUDGED_FLOPS / (WASM_SHARE * wasm.probe('fma', PROBE_MS) * 1e6 * wasm.threads);
  const onGpu = await gpuMilliseconds(rt);
  const figures = `a call of 2 GFLOP would take ${onGpu.toFixed(1)} ms on the GPU with its readback, ${onWasm.toFixed(1)} ms on WebAssembly`;
  if (onGpu >= onWasm) {
    rt.dispose();
    return stay(`measured: ${figures}`);
  }
  wasm.dispose();
  rt.explainBackend(`measured: ${figures}`);
  return rt;
}
