/**
 * ONNX operators by their ONNX names, inputs, attributes and layouts: what an ONNX engine can call.
 *
 * @module wattn/onnx
 */

export type { OpEntry, Tensors } from '../ops/registry.ts';
export {
  Attention,
  type AttentionAttributes,
  type AttentionInputs,
  type AttentionOutputs,
  AttentionSync,
} from './attention.ts';
export {
  CausalConvWithState,
  type CausalConvWithStateAttributes,
  type CausalConvWithStateInputs,
  type CausalConvWithStateOutputs,
  CausalConvWithStateSync,
} from './causal-conv-with-state.ts';
export {
  FlexAttention,
  type FlexAttentionAttributes,
  type FlexAttentionInputs,
  type FlexAttentionOutputs,
  FlexAttentionSync,
} from './flex-attention.ts';
export {
  LinearAttention,
  type LinearAttentionAttributes,
  type LinearAttentionInputs,
  type LinearAttentionOutputs,
  LinearAttentionSync,
  type UpdateRule,
} from './linear-attention.ts';
export type { GraphNode, GraphTensor, ModifierGraph } from './modifier-graph.ts';
export { ONNX_OPS } from './registry.ts';
export {
  RMSNormalization,
  type RMSNormalizationAttributes,
  type RMSNormalizationInputs,
  RMSNormalizationSync,
} from './rms-normalization.ts';
export {
  RotaryEmbedding,
  type RotaryEmbeddingAttributes,
  type RotaryEmbeddingInputs,
  RotaryEmbeddingSync,
} from './rotary-embedding.ts';
export {
  TensorScatter,
  type TensorScatterAttributes,
  type TensorScatterInputs,
  TensorScatterSync,
} from './tensor-scatter.ts';
