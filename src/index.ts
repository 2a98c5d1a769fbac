export * from './errors.ts';
export { attention, attentionSync, type AttentionInputs, type AttentionOptions, type AttentionResult } from './ops/attention.ts';
export { createRuntime, type Runtime, type RuntimeInfo, type RuntimeOptions } from './runtime/runtime.ts';
export { type DType, Tensor, type TensorData } from './tensor.ts';
