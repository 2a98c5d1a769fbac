/**
 * The kernels that have shaders, by the name that they have on WebAssembly.
 *
 * @module
 */
import type { Kernel } from '../../generated/kernels.ts';
import type { GpuKernel } from '../kernel.ts';
import { conv } from './conv.ts';
import { decode } from './decode.ts';
import { delta } from './delta.ts';
import { diagonal } from './diagonal.ts';
import { elementwise } from './elementwise.ts';
import { evict } from './evict.ts';
import { fastWeight } from './fast-weight.ts';
import { features } from './features.ts';
import { fft } from './fft.ts';
import { flash } from './flash.ts';
import { gate } from './gate.ts';
import { gemm } from './gemm.ts';
import { linear } from './linear.ts';
import { logLinear } from './log-linear.ts';
import { lowrank } from './lowrank.ts';
import { path } from './path.ts';
import { probe } from './probe.ts';
import { runningSums } from './running-sums.ts';
import { scan } from './scan.ts';
import { select } from './select.ts';

/** Every kernel that runs on a GPU; what is missing is not on WebGPU. */
export const GPU_KERNELS: Partial<Record<Kernel, GpuKernel>> = {
  ...conv,
  ...decode,
  ...delta,
  ...diagonal,
  ...elementwise,
  ...evict,
  ...fastWeight,
  ...features,
  ...fft,
  ...flash,
  ...gate,
  ...gemm,
  ...linear,
  ...logLinear,
  ...lowrank,
  ...path,
  ...probe,
  ...runningSums,
  ...scan,
  ...select,
};
