import { type AttentionProblem, type MatmulProblem, type Problem, visibleKeys } from './problem.ts';

/** What comparing a result with the float64 reference gave. */
export interface Check {
  ok: boolean;
  /** largest difference over the rows that were compared; NaN when the result holds one */
  error: number;
  tolerance: number;
  rows: number;
  /** why it failed, when it did */
  reason?: string;
}

/** Rows of the exact result (float64), the error of a plain float32 evaluation of the same rows, and where they stand. */
export interface Reference {
  length: number;
  rows: { offset: number; values: Float64Array }[];
  naiveError: number;
  largest: number;
}

const ROW_LIMIT = 256;

/** Up to ROW_LIMIT different rows of `count`, first and last included, spread so that every remainder of a tile size occurs. */
function spreadRows(count: number): number[] {
  if (count <= ROW_LIMIT) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: ROW_LIMIT }, (_, i) => Math.floor((i * (count - 1)) / (ROW_LIMIT - 1)));
}

/** One row in float64 and, beside it in the same loop, as a plain float32 version would round it. */
interface RowPair {
  exact: Float64Array;
  naive: Float32Array;
}

function attentionRow(problem: AttentionProblem, i: number, h: number, { exact, naive }: RowPair, scores: RowPair) {
  const { heads, dim, q, k, v, scale } = problem;
  const visible = visibleKeys(problem, i);
  const row = (i * heads + h) * dim;
  let max = Number.NEGATIVE_INFINITY;
  let naiveMax = max;
  for (let j = 0; j < visible; j++) {
    const key = (j * heads + h) * dim;
    let dot = 0;
    let rounded = 0;
    for (let d = 0; d < dim; d++) {
      const product = q[row + d]! * k[key + d]!;
      dot += product;
      rounded = Math.fround(rounded + Math.fround(product));
    }
    scores.exact[j] = dot * scale;
    scores.naive[j] = rounded * scale;
    max = Math.max(max, scores.exact[j]!);
    naiveMax = Math.max(naiveMax, scores.naive[j]!);
  }
  let sum = 0;
  let naiveSum = 0;
  exact.fill(0);
  naive.fill(0);
  for (let j = 0; j < visible; j++) {
    const value = (j * heads + h) * dim;
    const weight = Math.exp(scores.exact[j]! - max);
    const rounded = Math.fround(Math.exp(scores.naive[j]! - naiveMax));
    sum += weight;
    naiveSum = Math.fround(naiveSum + rounded);
    for (let d = 0; d < dim; d++) {
      exact[d] = exact[d]! + weight * v[value + d]!;
      naive[d] = naive[d]! + Math.fround(rounded * v[value + d]!);
    }
  }
  if (visible === 0) return;
  for (let d = 0; d < dim; d++) {
    exact[d] = exact[d]! / sum;
    naive[d] = naive[d]! / naiveSum;
  }
}

function matmulRow({ k, n, a, b }: MatmulProblem, i: number, { exact, naive }: RowPair) {
  exact.fill(0);
  naive.fill(0);
  for (let l = 0; l < k; l++) {
    const factor = a[i * k + l]!;
    for (let j = 0; j < n; j++) {
      const product = factor * b[l * n + j]!;
      exact[j] = exact[j]! + product;
      naive[j] = naive[j]! + Math.fround(product);
    }
  }
}

/** Computes the rows that results of a problem are compared with. */
export function referenceOf(problem: Problem): Reference {
  const width = problem.kind === 'matmul' ? problem.n : problem.dim;
  const count = problem.kind === 'matmul' ? problem.m : problem.queries * problem.heads;
  const keys = problem.kind === 'matmul' ? 0 : problem.keys;
  const scores: RowPair = { exact: new Float64Array(keys), naive: new Float32Array(keys) };
  const naive = new Float32Array(width);
  let naiveError = 0;
  let largest = 0;
  const rows = spreadRows(count).map((row) => {
    const values = new Float64Array(width);
    const pair: RowPair = { exact: values, naive };
    if (problem.kind === 'matmul') matmulRow(problem, row, pair);
    else attentionRow(problem, Math.floor(row / problem.heads), row % problem.heads, pair, scores);
    for (let d = 0; d < width; d++) {
      naiveError = Math.max(naiveError, Math.abs(naive[d]! - values[d]!));
      largest = Math.max(largest, Math.abs(values[d]!));
    }
    return { offset: row * width, values };
  });
  return { length: count * width, rows, naiveError, largest };
}

/**
 * Compares a result with the reference. The bound is the package's own: twice the error of a naive float32 version plus 1e-6;
 * `relative` widens it to that share of the largest value (peers, and int8 caches, which round the query).
 */
export function checkResult(got: ArrayLike<number>, reference: Reference, relative = 0): Check {
  const tolerance = Math.max(2 * reference.naiveError + 1e-6, relative * reference.largest);
  const rows = reference.rows.length;
  const fail = (error: number, reason: string): Check => ({ ok: false, error, tolerance, rows, reason });
  if (got.length !== reference.length) return fail(Number.NaN, `${got.length} elements, expected ${reference.length}`);
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]!)) return fail(Number.NaN, `element ${i} is ${got[i]}`);
  }
  let error = 0;
  for (const { offset, values } of reference.rows) {
    for (let d = 0; d < values.length; d++) error = Math.max(error, Math.abs(got[offset + d]! - values[d]!));
  }
  if (error > tolerance)
    return fail(error, `off by ${error.toExponential(1)}, at most ${tolerance.toExponential(1)} is allowed`);
  return { ok: true, error, tolerance, rows };
}
