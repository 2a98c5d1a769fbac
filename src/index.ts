/**
 * Attention kernels for the edge: exact methods, one function each, on WebAssembly SIMD.
 *
 * @module
 */
export type { Activation } from './engines/gemm.ts';
export type { LinearInputs, LinearOptions, LinearResult } from './engines/linear-operands.ts';
export * from './errors.ts';
export {
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attention,
  attentionSync,
} from './ops/attention.ts';
export {
  type DifferentialAttentionInputs,
  differentialAttention,
  differentialAttentionSync,
} from './ops/differential.ts';
export { add, addSync, type BinaryInputs, mul, mulSync } from './ops/elementwise.ts';
export { explain } from './ops/explain.ts';
export {
  type ForgettingAttnInputs,
  type ForgettingAttnOptions,
  forgettingAttn,
  forgettingAttnSync,
} from './ops/forgetting.ts';
export {
  type GlaInputs,
  gla,
  glaStep,
  glaSync,
  type Hgrn2Inputs,
  hgrn2,
  hgrn2Step,
  hgrn2Sync,
  type SimpleGlaInputs,
  type Stepped,
  simpleGla,
  simpleGlaStep,
  simpleGlaSync,
} from './ops/gla.ts';
export {
  type LogLinearAttnInputs,
  type LogLinearAttnResult,
  type LogLinearAttnStepInputs,
  logLinearAttn,
  logLinearAttnStep,
  logLinearAttnSync,
} from './ops/log-linear.ts';
export {
  type Mamba3Inputs,
  type Mamba3Result,
  type Mamba3StepInputs,
  type Mamba3Tokens,
  mamba3,
  mamba3Step,
  mamba3Sync,
} from './ops/mamba3.ts';
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
  type MomInputs,
  type MomOptions,
  type MomResult,
  type MomStepInputs,
  mom,
  momStep,
  momSync,
} from './ops/mom.ts';
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
export type { MemoryReport } from './runtime/arena.ts';
export type { Host } from './runtime/features.ts';
export type { Explanation } from './runtime/program.ts';
export { createRuntime, type Runtime, type RuntimeInfo, type RuntimeOptions } from './runtime/runtime.ts';
export type { Variant } from './runtime/variant.ts';
export { type DType, Tensor, type TensorData, type TensorView } from './tensor.ts';
