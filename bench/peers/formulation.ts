import {
  type AttentionProblem,
  type LinearProblem,
  type MatmulProblem,
  type Problem,
  withState,
} from '../../src/cli/bench/problem.ts';
import { headsFirst, timeFirst } from './heads-first.ts';
import type { OnnxNode } from './onnx-model.ts';

/** A problem as a one-node model: its inputs, and its outputs brought to the problem's own layout. */
export interface Formulation {
  node: OnnxNode;
  data: Record<string, Float32Array>;
  result(outputs: Record<string, Float32Array>): Float32Array;
}

function matmul({ m, k, n, a, b }: MatmulProblem): Formulation {
  return {
    node: { op: 'MatMul', opset: 13, inputs: { a: [m, k], b: [k, n] }, outputs: { y: [m, n] } },
    data: { a, b },
    result: ({ y }) => y!,
  };
}

function attention({ heads, queries, keys, dim, causal, scale, q, k, v }: AttentionProblem): Formulation | undefined {
  // is_causal lets query i see keys 0..i whatever the lengths, and is another problem where they differ
  if (causal && queries !== keys) return undefined;
  const cache = [1, heads, keys, dim];
  return {
    node: {
      op: 'Attention',
      opset: 23,
      attributes: { is_causal: causal ? 1 : 0, scale: { float: scale } },
      inputs: { q: [1, heads, queries, dim], k: cache, v: cache },
      outputs: { y: [1, heads, queries, dim] },
    },
    data: {
      q: headsFirst(q, queries, heads, dim),
      k: headsFirst(k, keys, heads, dim),
      v: headsFirst(v, keys, heads, dim),
    },
    result: ({ y }) => timeFirst(y!, queries, heads, dim),
  };
}

/** Its contrib op takes [B, T, H * D], which is [B, T, H, D] as it lies; the decay [B, T, H] or [B, T, H * K]. */
function linear(problem: LinearProblem): Formulation {
  const { heads, tokens, keyDim, valueDim, gate, scale, q, k, v, g, beta, initialState } = problem;
  const state = [1, heads, keyDim, valueDim];
  const gated = gate !== 'none';
  const rule = beta ? (gated ? 'gated_delta' : 'delta') : gated ? 'gated' : 'linear';
  return {
    node: {
      op: 'LinearAttention',
      domain: 'com.microsoft',
      opset: 1,
      attributes: {
        update_rule: rule,
        q_num_heads: heads,
        kv_num_heads: heads,
        scale: { float: scale },
      },
      inputs: {
        q: [1, tokens, heads * keyDim],
        k: [1, tokens, heads * keyDim],
        v: [1, tokens, heads * valueDim],
        past: initialState ? state : null,
        decay: gated ? [1, tokens, g.length / tokens] : null,
        beta: beta ? [1, tokens, heads] : null,
      },
      outputs: { o: [1, tokens, heads * valueDim], present: state },
    },
    data: {
      q,
      k,
      v,
      ...(initialState ? { past: initialState } : {}),
      ...(gated ? { decay: g } : {}),
      ...(beta ? { beta } : {}),
    },
    result: ({ o, present }) => withState(o!, present!),
  };
}

/** A problem as a model; undefined where there is no node for it. */
export function formulate(problem: Problem): Formulation | undefined {
  switch (problem.kind) {
    case 'matmul':
      return matmul(problem);
    case 'attention':
      return attention(problem);
    case 'linear':
      return linear(problem);
    case 'path':
    case 'scan':
      return undefined;
  }
}
