import { createRequire } from 'node:module';
import type { InferenceSession, Tensor } from 'onnxruntime-web';
import type { Contender, Peer } from '../../src/cli/bench/contender.ts';
import {
  type AttentionProblem,
  type LinearProblem,
  type MatmulProblem,
  type Problem,
  withState,
} from '../../src/cli/bench/problem.ts';
import { headsFirst, timeFirst } from './heads-first.ts';
import { type OnnxNode, onnxModel } from './onnx-model.ts';

type OnnxRuntime = typeof import('onnxruntime-web');

const note = 'session.run, with its copies of the inputs into its heap and of the output back';

/** Larger inputs would be copied into its heap on every call and measure nothing else. */
const BYTES_LIMIT = 72 * 2 ** 20;

/** A problem as a one-node model: its inputs, and its outputs brought to the problem's own layout. */
interface Formulation {
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

function formulate(problem: Problem): Formulation | undefined {
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

async function contender(ort: OnnxRuntime, name: string, problem: Problem): Promise<Contender | undefined> {
  const formulation = formulate(problem);
  if (!formulation) return undefined;
  const { node, data, result } = formulation;
  if (Object.values(data).reduce((sum, { byteLength }) => sum + byteLength, 0) > BYTES_LIMIT) return undefined;
  const session: InferenceSession = await ort.InferenceSession.create(onnxModel(node), {
    executionProviders: ['wasm'],
  });
  const feeds: Record<string, Tensor> = {};
  for (const [input, values] of Object.entries(data))
    feeds[input] = new ort.Tensor('float32', values, node.inputs[input]!);
  return {
    name,
    note,
    run: () => session.run(feeds),
    async output() {
      const outputs = Object.entries(await session.run(feeds));
      return result(Object.fromEntries(outputs.map(([output, { data }]) => [output, data as Float32Array])));
    },
    dispose: () => session.release(),
  };
}

/**
 * Its number of threads is fixed when its first session is made, and its backends are registered in onnxruntime-common; a
 * fresh pair of module instances per number of threads lets one process have several.
 */
function freshInstance(): OnnxRuntime {
  const require = createRequire(import.meta.url);
  for (const path of Object.keys(require.cache)) {
    if (/[\\/]onnxruntime-(common|web)[\\/]/.test(path)) delete require.cache[path];
  }
  return require('onnxruntime-web');
}

/** onnxruntime-web's WebAssembly backend: one-node models of Attention (opset 23), MatMul and com.microsoft's LinearAttention. */
export async function onnxruntimeWeb(threads: number): Promise<Peer> {
  const ort = freshInstance();
  ort.env.wasm.numThreads = threads;
  const name = threads === 1 ? 'onnxruntime-web' : `onnxruntime-web, ${threads} threads`;
  const version = ort.env.versions.web ?? ort.env.versions.common;
  return { name, version, prepare: (problem) => contender(ort, name, problem) };
}
