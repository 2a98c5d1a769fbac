/**
 * The kernels that have shaders, by the name that they have on WebAssembly.
 *
 * @module
 */
import type { Kernel } from '../../generated/kernels.ts';
import type { GpuKernel } from '../kernel.ts';
import { decode } from './decode.ts';
import { elementwise } from './elementwise.ts';

/** Every kernel that runs on a GPU; what is missing is not on WebGPU. */
export const GPU_KERNELS: Partial<Record<Kernel, GpuKernel>> = {
  ...decode,
  ...elementwise,
};
