import type { Contender, Peer } from '../../src/cli/bench/contender.ts';
import {
  type AttentionProblem,
  flopsOf,
  type MatmulProblem,
  type Problem,
  type ScanProblem,
  visibleKeys,
  withState,
} from '../../src/cli/bench/problem.ts';

const name = 'plain JavaScript';

/** About 1 GFLOP/s: more than this would take seconds a call. */
const FLOPS_LIMIT = 0.6e9;

function attention(problem: AttentionProblem): Contender {
  const { heads, queries, keys, dim, scale, q, k, v } = problem;
  const o = new Float32Array(queries * heads * dim);
  const scores = new Float64Array(keys);
  const run = () => {
    o.fill(0);
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const row = (i * heads + h) * dim;
        const visible = visibleKeys(problem, i);
        let max = Number.NEGATIVE_INFINITY;
        for (let j = 0; j < visible; j++) {
          const key = (j * heads + h) * dim;
          let dot = 0;
          for (let d = 0; d < dim; d++) dot += q[row + d]! * k[key + d]!;
          scores[j] = dot * scale;
          max = Math.max(max, scores[j]!);
        }
        let sum = 0;
        for (let j = 0; j < visible; j++) sum += scores[j] = Math.exp(scores[j]! - max);
        for (let j = 0; j < visible; j++) {
          const value = (j * heads + h) * dim;
          const weight = scores[j]! / sum;
          for (let d = 0; d < dim; d++) o[row + d] = o[row + d]! + weight * v[value + d]!;
        }
      }
    }
    return o;
  };
  return { name, note: 'three loops over typed arrays', run, output: run };
}

function matmul({ m, k, n, a, b }: MatmulProblem): Contender {
  const o = new Float32Array(m * n);
  const run = () => {
    o.fill(0);
    for (let i = 0; i < m; i++) {
      for (let l = 0; l < k; l++) {
        const factor = a[i * k + l]!;
        for (let j = 0; j < n; j++) o[i * n + j] = o[i * n + j]! + factor * b[l * n + j]!;
      }
    }
    return o;
  };
  return { name, note: 'three loops over typed arrays', run, output: run };
}

function scan({ tokens, channels, states, u, delta, a, b, c }: ScanProblem): Contender {
  const o = new Float32Array(tokens * channels);
  const h = new Float32Array(channels * states);
  const run = () => {
    h.fill(0);
    for (let t = 0; t < tokens; t++) {
      for (let d = 0; d < channels; d++) {
        const dt = Math.log1p(Math.exp(delta[t * channels + d]!));
        const input = dt * u[t * channels + d]!;
        let sum = 0;
        for (let n = 0; n < states; n++) {
          const at = d * states + n;
          const state = Math.exp(dt * a[at]!) * h[at]! + input * b[t * states + n]!;
          h[at] = state;
          sum += state * c[t * states + n]!;
        }
        o[t * channels + d] = sum;
      }
    }
  };
  return {
    name,
    note: 'three loops over typed arrays',
    run,
    output() {
      run();
      return withState(o, h);
    },
  };
}

/** What one would write without a package. */
export const plainJavaScript: Peer = {
  name,
  version: process.version,
  async prepare(problem: Problem) {
    if (flopsOf(problem) > FLOPS_LIMIT) return undefined;
    switch (problem.kind) {
      case 'matmul':
        return matmul(problem);
      case 'attention':
        return attention(problem);
      case 'path':
      case 'linear':
        return undefined;
      case 'scan':
        return scan(problem);
    }
  },
};
