import { setThreadsCount, version_wasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type { Contender, Peer } from '../../src/cli/bench/contender.ts';
import {
  type AttentionProblem,
  flopsOf,
  type MatmulProblem,
  type Problem,
  visibleKeys,
} from '../../src/cli/bench/problem.ts';
import { headsFirst, timeFirst } from './heads-first.ts';

const name = 'tfjs-wasm';

/** It reaches about 10 GFLOP/s here; more would take most of the run. */
const FLOPS_LIMIT = 2.5e9;

/**
 * softmax(q k^T) v head by head. Only its product of two plain matrices is fast (XNNPACK), so k is transposed first: measured
 * 5 times as fast as the product of 4-D tensors with transposeB. With one query, k times the query column saves that transposition.
 */
function attention({ heads, queries, keys, dim, scale, causal, ...problem }: AttentionProblem): Contender {
  const perHead = (data: Float32Array, time: number) => {
    const all = headsFirst(data, time, heads, dim);
    return Array.from({ length: heads }, (_, h) =>
      tf.tensor2d(all.subarray(h * time * dim, (h + 1) * time * dim), [time, dim]),
    );
  };
  const q = perHead(problem.q, queries);
  const k = perHead(problem.k, keys);
  const v = perHead(problem.v, keys);
  const hidden = new Float32Array(causal ? queries * keys : 0);
  if (causal) {
    for (let i = 0; i < queries; i++)
      hidden.fill(
        -1e9,
        i * keys + visibleKeys({ ...problem, heads, queries, keys, dim, scale, causal }, i),
        (i + 1) * keys,
      );
  }
  const mask = causal ? tf.tensor2d(hidden, [queries, keys]) : undefined;
  const head = (h: number): tf.Tensor2D => {
    const scaled = tf.mul(q[h]!, scale);
    const scores =
      queries === 1
        ? tf.reshape(tf.matMul(k[h]!, tf.reshape(scaled, [dim, 1])), [1, keys])
        : tf.matMul(scaled, tf.transpose(k[h]!));
    return tf.matMul(tf.softmax(mask ? tf.add(scores, mask) : scores) as tf.Tensor2D, v[h]!);
  };
  const call = () => {
    const result = tf.tidy(() => tf.stack(q.map((_, h) => head(h))));
    const data = result.dataSync<'float32'>();
    result.dispose();
    return data;
  };
  return {
    name,
    note: 'composed of matMul, softmax and matMul per head, tensors already in its heap',
    run: call,
    output: () => timeFirst(call(), queries, heads, dim),
    dispose: () => tf.dispose([q, k, v, ...(mask ? [mask] : [])]),
  };
}

function matmul({ m, k, n, ...problem }: MatmulProblem): Contender {
  const a = tf.tensor2d(problem.a, [m, k]);
  const b = tf.tensor2d(problem.b, [k, n]);
  const call = () => {
    const result = tf.matMul(a, b);
    const data = result.dataSync<'float32'>();
    result.dispose();
    return data;
  };
  return {
    name,
    note: 'tensors already in its heap, output copied out',
    run: call,
    output: call,
    dispose: () => tf.dispose([a, b]),
  };
}

/** TensorFlow.js on WebAssembly, one thread (in Node it has no more). */
export async function tfjsWasm(): Promise<Peer> {
  setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  return {
    name,
    version: version_wasm,
    async prepare(problem: Problem) {
      if (flopsOf(problem) > FLOPS_LIMIT) return undefined;
      if (problem.kind === 'matmul') return matmul(problem);
      return problem.kind === 'attention' ? attention(problem) : undefined;
    },
  };
}
