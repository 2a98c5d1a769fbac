/**
 * The kernels that have shaders, by the name that they have on WebAssembly.
 *
 * @module
 */
import type { Kernel } from '../../generated/kernels.ts';
import type { GpuKernel } from '../kernel.ts';
import { decode } from './decode.ts';
import { delta } from './delta.ts';
import { elementwise } from './elementwise.ts';
import { fastWeight } from './fast-weight.ts';
import { evict } from './evict.ts';
import { select } from './select.ts';
import { flash } from './flash.ts';
import { scan } from './scan.ts';
import { features } from './features.ts';
import { linear } from './linear.ts';
import { logLinear } from './log-linear.ts';
import { runningSums } from './running-sums.ts';
import { gate } from './gate.ts';
import { gemm } from './gemm.ts';
import { lowrank } from './lowrank.ts';

/** Every kernel that runs on a GPU; what is missing is not on WebGPU. */
export const GPU_KERNELS: Partial<Record<Kernel, GpuKernel>> = {
  ...decode,
  ...elementwise,
  ...fastWeight,
  ...select,
  ...evict,
  ...flash,
  ...scan,
  ...features,
  ...linear,
  ...logLinear,
  ...runningSums,
  ...gemm,
  ...lowrank,
  ...gate,
  ...delta,
};
