import {
  type AttentionProblem,
  type LinearProblem,
  type MatmulProblem,
  type PathProblem,
  type Problem,
  type ScanProblem,
  visibleKeys,
} from './problem.ts';

/** Rows of the exact result (float64), the error of a plain float32 evaluation of the same rows, and where they stand. */
export interface Reference {
  length: number;
  /** values from element `offset` of the result on, `stride` elements apart */
  rows: { offset: number; stride: number; values: Float64Array }[];
  naiveError: number;
  largest: number;
}

/** Rows of an attention, a product or a scan that are compared. */
const ROW_LIMIT = 256;

/** Value channels of a head that are compared in linear attention; others are compared in the next head. */
const COLUMN_LIMIT = 8;

/** Up to `limit` different numbers below `count`, first and last included, spread so that every remainder of a tile size occurs. */
function spread(count: number, limit: number): number[] {
  if (count <= limit) return Array.from({ length: count }, (_, i) => i);
  return Array.from({ length: limit }, (_, i) => Math.floor((i * (count - 1)) / (limit - 1)));
}

/** One row in float64 and, beside it in the same loop, as a plain float32 version would round it. */
interface RowPair {
  exact: Float64Array;
  naive: Float32Array;
}

/** A row with its place in the result. */
interface PlacedRow extends RowPair {
  offset: number;
  stride: number;
}

const rowPair = (length: number): RowPair => ({ exact: new Float64Array(length), naive: new Float32Array(length) });

function attentionRow(problem: AttentionProblem, i: number, h: number, out: RowPair, scores: RowPair) {
  const { heads, kvHeads = heads, sees, dim, q, k, scale } = problem;
  const visible = visibleKeys(problem, i);
  const row = (i * heads + h) * dim;
  const kvHead = Math.floor((h * kvHeads) / heads);
  for (let j = 0; j < visible; j++) {
    if (sees && !sees(h, i, j)) {
      scores.exact[j] = Number.NEGATIVE_INFINITY;
      scores.naive[j] = Number.NEGATIVE_INFINITY;
      continue;
    }
    const key = (j * kvHeads + kvHead) * dim;
    let dot = 0;
    let rounded = 0;
    for (let d = 0; d < dim; d++) {
      const product = q[row + d]! * k[key + d]!;
      dot += product;
      rounded = Math.fround(rounded + Math.fround(product));
    }
    scores.exact[j] = dot * scale;
    scores.naive[j] = rounded * scale;
  }
  weighValues(problem, visible, kvHead, out, scores);
}

/** Scores against a query that each token's transition changes on the way back from row i. */
function pathRow(problem: PathProblem, i: number, h: number, out: RowPair, scores: RowPair) {
  const { heads, dim, q, k, w, beta, scale } = problem;
  const row = (i * heads + h) * dim;
  const exact = Float64Array.from(q.subarray(row, row + dim));
  const naive = q.slice(row, row + dim);
  for (let j = i; j >= 0; j--) {
    const key = (j * heads + h) * dim;
    let [dot, rounded, along, roundedAlong] = [0, 0, 0, 0];
    for (let d = 0; d < dim; d++) {
      dot += exact[d]! * k[key + d]!;
      rounded = Math.fround(rounded + Math.fround(naive[d]! * k[key + d]!));
      along += exact[d]! * w[key + d]!;
      roundedAlong = Math.fround(roundedAlong + Math.fround(naive[d]! * w[key + d]!));
    }
    scores.exact[j] = dot * scale;
    scores.naive[j] = rounded * scale;
    along *= beta[j * heads + h]!;
    roundedAlong = Math.fround(roundedAlong * beta[j * heads + h]!);
    for (let d = 0; d < dim; d++) {
      exact[d] = exact[d]! - along * w[key + d]!;
      naive[d] = naive[d]! - Math.fround(roundedAlong * w[key + d]!);
    }
  }
  weighValues(problem, i + 1, h, out, scores);
}

/** The mean of the visible values, weighted by the softmax of their scores. */
function weighValues(
  { heads, dim, v, ...problem }: AttentionProblem | PathProblem,
  visible: number,
  h: number,
  { exact, naive }: RowPair,
  scores: RowPair,
) {
  const max = scores.exact.subarray(0, visible).reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const naiveMax = scores.naive.subarray(0, visible).reduce((most, x) => Math.max(most, x), Number.NEGATIVE_INFINITY);
  const rows = 'kvHeads' in problem ? (problem.kvHeads ?? heads) : heads;
  let sum = 0;
  let naiveSum = 0;
  exact.fill(0);
  naive.fill(0);
  for (let j = 0; j < visible; j++) {
    const value = (j * rows + h) * dim;
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

function attentionRows(problem: AttentionProblem | PathProblem, limit: number): PlacedRow[] {
  const { heads, queries, keys, dim } = problem;
  const scores = rowPair(keys);
  return spread(queries * heads, limit).map((row) => {
    const pair = rowPair(dim);
    if (problem.kind === 'path') pathRow(problem, Math.floor(row / heads), row % heads, pair, scores);
    else attentionRow(problem, Math.floor(row / heads), row % heads, pair, scores);
    return { offset: row * dim, stride: 1, ...pair };
  });
}

function matmulRows(problem: MatmulProblem, limit: number): PlacedRow[] {
  return spread(problem.m, limit).map((row) => {
    const pair = rowPair(problem.n);
    matmulRow(problem, row, pair);
    return { offset: row * problem.n, stride: 1, ...pair };
  });
}

/** One value channel of one head over all tokens: a recurrence of its own, on a column of the state. */
function linearColumn(problem: LinearProblem, h: number, j: number, decay: Float64Array, o: RowPair, state: RowPair) {
  const { heads, tokens, keyDim, valueDim, scale, q, k, v, beta } = problem;
  const gates = decay.length / tokens;
  const { exact, naive } = state;
  for (let i = 0; i < keyDim; i++) {
    const initial = problem.initialState?.[(h * keyDim + i) * valueDim + j] ?? 0;
    exact[i] = initial;
    naive[i] = initial;
  }
  for (let t = 0; t < tokens; t++) {
    const row = (t * heads + h) * keyDim;
    let value = v[(t * heads + h) * valueDim + j]!;
    let roundedValue = value;
    let read = 0;
    let roundedRead = 0;
    for (let i = 0; i < keyDim; i++) {
      const factor = decay[gates === 1 ? t : t * keyDim + i]!;
      exact[i] = exact[i]! * factor;
      naive[i] = Math.fround(naive[i]! * Math.fround(factor));
      read += k[row + i]! * exact[i]!;
      roundedRead = Math.fround(roundedRead + Math.fround(k[row + i]! * naive[i]!));
    }
    if (beta) {
      value = beta[t * heads + h]! * (value - read);
      roundedValue = Math.fround(beta[t * heads + h]! * Math.fround(roundedValue - roundedRead));
    }
    let sum = 0;
    let rounded = 0;
    for (let i = 0; i < keyDim; i++) {
      exact[i] = exact[i]! + k[row + i]! * value;
      naive[i] = naive[i]! + Math.fround(k[row + i]! * roundedValue);
      sum += q[row + i]! * exact[i]!;
      rounded = Math.fround(rounded + Math.fround(q[row + i]! * naive[i]!));
    }
    o.exact[t] = sum * scale;
    o.naive[t] = rounded * scale;
  }
}

function linearRows(problem: LinearProblem): PlacedRow[] {
  const { heads, tokens, keyDim, valueDim, gate, g } = problem;
  const gates = gate === 'vector' ? keyDim : 1;
  const decay = new Float64Array(tokens * gates).fill(1);
  const rows: PlacedRow[] = [];
  for (let h = 0; h < heads; h++) {
    if (gate !== 'none') {
      for (let i = 0; i < decay.length; i++) {
        decay[i] = Math.exp(g[(Math.floor(i / gates) * heads + h) * gates + (i % gates)]!);
      }
    }
    for (const each of spread(valueDim, COLUMN_LIMIT)) {
      const j = (each + h) % valueDim;
      const o = rowPair(tokens);
      const state = rowPair(keyDim);
      linearColumn(problem, h, j, decay, o, state);
      rows.push({ offset: h * valueDim + j, stride: heads * valueDim, ...o });
      rows.push({ offset: (tokens * heads + h * keyDim) * valueDim + j, stride: valueDim, ...state });
    }
  }
  return rows;
}

function scanChannel({ tokens, channels, states, u, delta, a, b, c }: ScanProblem, d: number, o: RowPair, h: RowPair) {
  for (let t = 0; t < tokens; t++) {
    const dt = Math.log1p(Math.exp(delta[t * channels + d]!));
    const input = dt * u[t * channels + d]!;
    const roundedInput = Math.fround(Math.fround(dt) * u[t * channels + d]!);
    let sum = 0;
    let rounded = 0;
    for (let n = 0; n < states; n++) {
      const rate = a[d * states + n]!;
      const factor = Math.fround(Math.exp(Math.fround(Math.fround(dt) * rate)));
      h.exact[n] = h.exact[n]! * Math.exp(dt * rate) + input * b[t * states + n]!;
      h.naive[n] = Math.fround(h.naive[n]! * factor) + Math.fround(roundedInput * b[t * states + n]!);
      sum += c[t * states + n]! * h.exact[n]!;
      rounded = Math.fround(rounded + Math.fround(c[t * states + n]! * h.naive[n]!));
    }
    o.exact[t] = sum;
    o.naive[t] = rounded;
  }
}

function scanRows(problem: ScanProblem, limit: number): PlacedRow[] {
  const { tokens, channels, states } = problem;
  return spread(channels, limit).flatMap((d) => {
    const o = rowPair(tokens);
    const state = rowPair(states);
    scanChannel(problem, d, o, state);
    return [
      { offset: d, stride: channels, ...o },
      { offset: tokens * channels + d * states, stride: 1, ...state },
    ];
  });
}

function rowsOf(problem: Problem, limit: number): { length: number; rows: PlacedRow[] } {
  switch (problem.kind) {
    case 'path':
    case 'attention':
      return { length: problem.queries * problem.heads * problem.dim, rows: attentionRows(problem, limit) };
    case 'matmul':
      return { length: problem.m * problem.n, rows: matmulRows(problem, limit) };
    case 'linear': {
      const { heads, tokens, keyDim, valueDim } = problem;
      return { length: (tokens + keyDim) * heads * valueDim, rows: linearRows(problem) };
    }
    case 'scan': {
      const { tokens, channels, states } = problem;
      return { length: (tokens + states) * channels, rows: scanRows(problem, limit) };
    }
  }
}

/** Computes the rows that results of a problem are compared with; `limit` is how many of an attention, a product or a scan. */
export function referenceOf(problem: Problem, limit = ROW_LIMIT): Reference {
  const { length, rows } = rowsOf(problem, limit);
  let naiveError = 0;
  let largest = 0;
  for (const { exact, naive } of rows) {
    for (let i = 0; i < exact.length; i++) {
      naiveError = Math.max(naiveError, Math.abs(naive[i]! - exact[i]!));
      largest = Math.max(largest, Math.abs(exact[i]!));
    }
  }
  return {
    length,
    rows: rows.map(({ offset, stride, exact }) => ({ offset, stride, values: exact })),
    naiveError,
    largest,
  };
}
