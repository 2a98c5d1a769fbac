/**
 * Attention kernels for the edge: exact methods, one function each, on WebAssembly SIMD.
 *
 * @module
 */
export type { Activation } from './engines/gemm.ts';
export * from './errors.ts';
export {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attention,
  attentionSync,
} from './ops/attention.ts';
export {
  type CausalConv1dInputs,
  type CausalConv1dOptions,
  type CausalConv1dResult,
  type CausalConv1dStepInputs,
  causalConv1d,
  causalConv1dStep,
  causalConv1dSync,
} from './ops/causal-conv.ts';
export {
  type DifferentialAttentionInputs,
  differentialAttention,
  differentialAttentionSync,
} from './ops/differential.ts';
export { type DwConv2dInputs, dwConv2d, dwConv2dSync } from './ops/dw-conv2d.ts';
export { add, addSync, type BinaryInputs, mul, mulSync } from './ops/elementwise.ts';
export { explain } from './ops/explain.ts';
export {
  type ForgettingAttnInputs,
  type ForgettingAttnOptions,
  forgettingAttn,
  forgettingAttnSync,
} from './ops/forgetting.ts';
export {
  type MatmulInputs,
  type MatmulOptions,
  matmul,
  matmulSync,
  PackedMatrix,
  packMatrix,
  packMatrixSync,
} from './ops/matmul.ts';
export { type MergeStateInputs, mergeState, mergeStateSync } from './ops/merge.ts';
export { type MlaInputs, type MlaOptions, mla, mlaSync } from './ops/mla.ts';
export {
  type LayerNormInputs,
  layerNorm,
  layerNormSync,
  type NormOptions,
  type RmsNormInputs,
  rmsNorm,
  rmsNormSync,
} from './ops/norm.ts';
export {
  type PagedAttentionInputs,
  type PagedAttentionOptions,
  pagedAttention,
  pagedAttentionSync,
} from './ops/paged.ts';
export { type ParallaxInputs, parallax, parallaxSync } from './ops/parallax.ts';
export { type RopeInputs, type RopeOptions, rope, ropeSync } from './ops/rope.ts';
export {
  type FftConvInputs,
  fftConv,
  fftConvSync,
  type S4Inputs,
  type S4KernelInputs,
  type S4KernelOptions,
  type S4Options,
  s4,
  s4Kernel,
  s4KernelSync,
  s4Sync,
} from './ops/s4.ts';
export {
  type DiagonalInputs,
  type DiagonalMode,
  type DssOptions,
  type DssStepOptions,
  dss,
  dssStep,
  dssSync,
  type S4dInputs,
  type S4dOptions,
  type S4dResult,
  type S4dStepInputs,
  type S4dStepOptions,
  s4d,
  s4dStep,
  s4dSync,
  s4dTable,
} from './ops/s4d.ts';
export type { MemoryReport } from './runtime/arena.ts';
export type { Host } from './runtime/features.ts';
export type { Explanation } from './runtime/program.ts';
export { createRuntime, type Runtime, type RuntimeInfo, type RuntimeOptions } from './runtime/runtime.ts';
export type { Variant } from './runtime/variant.ts';
export { type DType, Tensor, type TensorData, type TensorView } from './tensor.ts';
