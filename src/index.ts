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
export { type HgrnInputs, type HgrnResult, type HgrnStepInputs, hgrn, hgrnStep, hgrnSync } from './ops/hgrn.ts';
export {
  type LogCumsumExpInputs,
  type LogCumsumExpResult,
  logCumsumExp,
  logCumsumExpSync,
} from './ops/log-cumsum-exp.ts';
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
export {
  type RgLruInputs,
  type RgLruOptions,
  type RgLruResult,
  type RgLruStepInputs,
  rgLru,
  rgLruStep,
  rgLruSync,
} from './ops/rg-lru.ts';
export { type RopeInputs, type RopeOptions, rope, ropeSync } from './ops/rope.ts';
export {
  type Rwkv4Inputs,
  type Rwkv4Result,
  type Rwkv4States,
  type Rwkv4StepInputs,
  rwkv4,
  rwkv4Step,
  rwkv4Sync,
} from './ops/rwkv4.ts';
export {
  type SelectiveScanInputs,
  type SelectiveScanOptions,
  type SelectiveScanResult,
  type SelectiveScanStepInputs,
  selectiveScan,
  selectiveScanStep,
  selectiveScanSync,
} from './ops/selective-scan.ts';
export type { MemoryReport } from './runtime/arena.ts';
export type { Host } from './runtime/features.ts';
export type { Explanation } from './runtime/program.ts';
export { createRuntime, type Runtime, type RuntimeInfo, type RuntimeOptions } from './runtime/runtime.ts';
export type { Variant } from './runtime/variant.ts';
export { type DType, Tensor, type TensorData, type TensorView } from './tensor.ts';
