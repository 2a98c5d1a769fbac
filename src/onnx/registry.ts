/**
 * The ONNX operators, each listed once.
 *
 * @module
 */
import type { OpEntry, Tensors } from '../ops/registry.ts';
import { Attention } from './attention.ts';
import { CausalConvWithState } from './causal-conv-with-state.ts';
import { FlexAttention } from './flex-attention.ts';
import { LinearAttention } from './linear-attention.ts';
import { RMSNormalization } from './rms-normalization.ts';
import { RotaryEmbedding } from './rotary-embedding.ts';
import { TensorScatter } from './tensor-scatter.ts';

type AnyOp = (inputs: never, attributes: never) => Promise<object>;

/** The call of an entry: its function checks names, shapes and attributes itself. */
function call(op: AnyOp): OpEntry['run'] {
  return op as unknown as OpEntry['run'];
}

/** ONNX's own test cases call the scale W. */
function withScale({ W, ...inputs }: Tensors): Tensors {
  return W ? { ...inputs, scale: W } : inputs;
}

export const ONNX_OPS: readonly OpEntry[] = [
  {
    name: 'onnx:Attention',
    doc: 'Scaled dot-product attention with masks, grouped heads, a cache, and the scores as an output.',
    paper: 'ONNX Attention-24',
    inputs: ['Q', 'K', 'V', 'attn_mask?', 'past_key?', 'past_value?', 'nonpad_kv_seqlen?'],
    attributes: [
      'is_causal',
      'q_num_heads',
      'kv_num_heads',
      'qk_matmul_output_mode',
      'scale',
      'softcap',
      'softmax_precision',
    ],
    outputs: ['Y', 'present_key', 'present_value', 'qk_matmul_output'],
    run: call(Attention),
  },
  {
    name: 'onnx:RotaryEmbedding',
    doc: 'Rotary position embedding from tables of cosines and sines.',
    paper: 'ONNX RotaryEmbedding-23',
    inputs: ['input', 'cos_cache', 'sin_cache', 'position_ids?'],
    attributes: ['interleaved', 'num_heads', 'rotary_embedding_dim'],
    outputs: ['output'],
    run: call(RotaryEmbedding),
  },
  {
    name: 'onnx:RMSNormalization',
    doc: 'RMS normalisation over the last axes.',
    paper: 'ONNX RMSNormalization-23',
    inputs: ['X', 'scale'],
    attributes: ['axis', 'epsilon', 'stash_type'],
    outputs: ['Y'],
    run: (inputs, attributes) => call(RMSNormalization)(withScale(inputs), attributes),
  },
  {
    name: 'onnx:TensorScatter',
    doc: 'A cache with new rows written into each batch entry.',
    paper: 'ONNX TensorScatter-24',
    inputs: ['past_cache', 'update', 'write_indices?'],
    attributes: ['axis', 'mode'],
    outputs: ['present_cache'],
    run: call(TensorScatter),
  },
  {
    name: 'onnx:CausalConvWithState',
    doc: 'Depthwise causal convolution with the state that streaming needs.',
    paper: 'ONNX CausalConvWithState-27',
    inputs: ['input', 'weight', 'bias?', 'past_state?'],
    attributes: ['activation'],
    outputs: ['output', 'present_state'],
    run: call(CausalConvWithState),
  },
  {
    name: 'onnx:FlexAttention',
    doc: 'Scaled dot-product attention whose scores and weights are changed by subgraphs.',
    paper: 'ONNX FlexAttention (preview 1)',
    inputs: ['Q', 'K', 'V'],
    attributes: ['scale', 'softmax_precision', 'score_mod', 'prob_mod'],
    outputs: ['Y'],
    run: call(FlexAttention),
  },
  {
    name: 'onnx:LinearAttention',
    doc: 'Linear attention with the state that streaming needs, by the update rules linear, gated, delta and gated_delta.',
    paper: 'ONNX LinearAttention-27',
    inputs: ['query', 'key', 'value', 'past_state?', 'decay?', 'beta?'],
    attributes: ['q_num_heads', 'kv_num_heads', 'update_rule', 'scale', 'chunk_size'],
    outputs: ['output', 'present_state'],
    run: call(LinearAttention),
  },
];
