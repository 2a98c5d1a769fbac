import { createRequire } from 'node:module';
import type { InferenceSession, Tensor } from 'onnxruntime-web';
import type { Contender, Peer } from '../../src/cli/bench/contender.ts';
import type { Problem } from '../../src/cli/bench/problem.ts';
import { headsFirst, timeFirst } from './heads-first.ts';
import { type OnnxNode, onnxModel } from './onnx-model.ts';

type OnnxRuntime = typeof import('onnxruntime-web');

const note = 'session.run, with its copies of the inputs into its heap and of the output back';

/** Larger inputs would be copied into its heap on every call and measure nothing else. */
const BYTES_LIMIT = 64 * 2 ** 20;

function nodeOf(problem: Problem): OnnxNode {
  if (problem.kind === 'matmul') {
    const { m, k, n } = problem;
    return { op: 'MatMul', opset: 13, inputs: { a: [m, k], b: [k, n] }, outputs: { y: [m, n] } };
  }
  const { heads, queries, keys, dim, causal, scale } = problem;
  const cache = [1, heads, keys, dim];
  return {
    op: 'Attention',
    opset: 23,
    attributes: { is_causal: causal ? 1 : 0, scale: { float: scale } },
    inputs: { q: [1, heads, queries, dim], k: cache, v: cache },
    outputs: { y: [1, heads, queries, dim] },
  };
}

function dataOf(problem: Problem): Record<string, Float32Array> {
  if (problem.kind === 'matmul') return { a: problem.a, b: problem.b };
  const { heads, queries, keys, dim } = problem;
  return {
    q: headsFirst(problem.q, queries, heads, dim),
    k: headsFirst(problem.k, keys, heads, dim),
    v: headsFirst(problem.v, keys, heads, dim),
  };
}

async function contender(ort: OnnxRuntime, name: string, problem: Problem): Promise<Contender | undefined> {
  // is_causal lets query i see keys 0..i whatever the lengths, and is another problem where they differ
  if (problem.kind === 'attention' && problem.causal && problem.queries !== problem.keys) return undefined;
  const data = dataOf(problem);
  if (Object.values(data).reduce((sum, { byteLength }) => sum + byteLength, 0) > BYTES_LIMIT) return undefined;
  const node = nodeOf(problem);
  const session: InferenceSession = await ort.InferenceSession.create(onnxModel(node), {
    executionProviders: ['wasm'],
  });
  const feeds: Record<string, Tensor> = {};
  for (const [input, shape] of Object.entries(node.inputs))
    feeds[input] = new ort.Tensor('float32', data[input]!, shape);
  return {
    name,
    note,
    run: () => session.run(feeds),
    async output() {
      const result = (await session.run(feeds)).y!.data as Float32Array;
      return problem.kind === 'matmul' ? result : timeFirst(result, problem.queries, problem.heads, problem.dim);
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

/** onnxruntime-web's WebAssembly backend: one-node models of the operators Attention (opset 23) and MatMul. */
export async function onnxruntimeWeb(threads: number): Promise<Peer> {
  const ort = freshInstance();
  ort.env.wasm.numThreads = threads;
  const name = threads === 1 ? 'onnxruntime-web' : `onnxruntime-web, ${threads} threads`;
  const version = ort.env.versions.web ?? ort.env.versions.common;
  return { name, version, prepare: (problem) => contender(ort, name, problem) };
}
