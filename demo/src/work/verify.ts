/**
 * What outputs must be: definitions in 64-bit arithmetic, straight from the maths, for some rows of a call.
 *
 * @module
 */
import { DIM, HEADS, type OperandKind, type Problem } from './problem.ts';
import type { Seen } from './seen.ts';

/** The definition that a method is checked by. */
export type Check =
  | {
      /** A softmax over the keys that a query sees; `fading` adds the sum of the log gates between. */
      readonly kind: 'softmax';
      readonly fading?: true;
      /** Largest relative distance. */
      readonly tolerance?: number;
    }
  /** A third each of attention to chosen blocks, to the means of whole blocks, and to a window of two blocks. */
  | { readonly kind: 'branches' }
  /** Weights by a function of the score over their sum, up to the query's own place. */
  | { readonly kind: 'weights'; readonly weight: (score: number) => number }
  | {
      /** A state that decays, gives up what a key held (`erases`) and takes the key's value. */
      readonly kind: 'recurrence';
      readonly decay?: 'headGate' | 'channelGate' | ((head: number) => number);
      readonly erases?: true;
    };

/** What came of a check. */
export interface Verdict {
  readonly passed: boolean;
  readonly text: string;
}

const TOLERANCE = 1e-3;
/** Tokens that a recurrence is followed over: a causal output does not depend on later ones. */
const MOST_TOKENS = 512;
const SAMPLED_ROWS = 6;
const NORM_EPSILON = 1e-6;

/** Row `t` of a head in f32 [T, H, DIM]. */
const rowOf = (data: Float32Array, t: number, head: number) => {
  const at = (t * HEADS.length + head) * DIM;
  return data.subarray(at, at + DIM);
};

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let c = 0; c < a.length; ++c) sum += a[c]! * b[c]!;
  return sum;
}

/** Rows spread over the length, the last one among them. */
function sampledRows(length: number): number[] {
  return Array.from({ length: SAMPLED_ROWS }, (_, n) => Math.round(((n + 1) * length) / SAMPLED_ROWS) - 1);
}

/** Sums of a head's log gates up to and with each token. */
function fadeOf(problem: Problem, head: number): Float64Array {
  const { data } = problem.operand('headGate');
  let sum = 0;
  return Float64Array.from({ length: problem.length }, (_, t) => {
    sum += data[t * HEADS.length + head]!;
    return sum;
  });
}

/** One output row from weights by key, divided by their sum. */
function weighted(problem: Problem, head: number, weights: Float64Array): Float64Array {
  const o = new Float64Array(DIM);
  let sum = 0;
  for (const [j, weight] of weights.entries()) {
    if (weight === 0) continue;
    sum += weight;
    const v = rowOf(problem.v, j, head);
    for (let c = 0; c < DIM; ++c) o[c]! += weight * v[c]!;
  }
  if (sum !== 0) for (let c = 0; c < DIM; ++c) o[c]! /= sum;
  return o;
}

/** Softmax attention of one query to the keys that `sees` names. */
function softmaxRow(
  problem: Problem,
  head: number,
  i: number,
  sees: (key: number) => boolean,
  fading = false,
): Float64Array {
  const fade = fading ? fadeOf(problem, head) : undefined;
  const q = rowOf(problem.q, i, head);
  const scores = new Float64Array(problem.length).fill(Number.NEGATIVE_INFINITY);
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < problem.length; ++j) {
    if (!sees(j)) continue;
    scores[j] = dot(q, rowOf(problem.k, j, head)) * DIM ** -0.5 + (fade ? fade[i]! - fade[j]! : 0);
    most = Math.max(most, scores[j]!);
  }
  return weighted(
    problem,
    head,
    scores.map((score) => Math.exp(score - most)),
  );
}

/** Softmax attention of one query to the means of the blocks that have ended. */
function blocksRow(problem: Problem, head: number, i: number, block: number): Float64Array {
  const q = rowOf(problem.q, i, head);
  const weights = new Float64Array(problem.length);
  for (let end = block; end <= i + 1; end += block) {
    let score = 0;
    for (let j = end - block; j < end; ++j) score += (dot(q, rowOf(problem.k, j, head)) * DIM ** -0.5) / block;
    // each key of a block then has an equal part of the weight, as its value has in the block's mean; scores here are far from overflow
    weights.fill(Math.exp(score), end - block, end);
  }
  return weighted(problem, head, weights);
}

/** The three branches of NSA, a third each. */
function branchesRow(problem: Problem, head: number, i: number, seen: Seen): Float64Array {
  const block = seen.keyBlock;
  const branches = [
    softmaxRow(problem, head, i, (j) => seen.sees(head, i, j)),
    blocksRow(problem, head, i, block),
    softmaxRow(problem, head, i, (j) => j <= i && i - j < 2 * block),
  ];
  return Float64Array.from({ length: DIM }, (_, c) => branches.reduce((sum, o) => sum + o[c]! / 3, 0));
}

/** Rows of one head by the recurrence S = decay S, S += beta k (v - S k) or k v, o = S q. */
function recurrentRows(
  problem: Problem,
  head: number,
  { decay, erases }: Extract<Check, { kind: 'recurrence' }>,
): Float64Array[] {
  const state = new Float64Array(DIM * DIM);
  const gates = typeof decay === 'string' ? problem.operand(decay as OperandKind).data : undefined;
  const rates = erases && problem.operand('rate').data;
  const unit = (x: Float32Array) => {
    const size = erases ? 1 / Math.sqrt(dot(x, x) + NORM_EPSILON) : 1;
    return Float64Array.from(x, (value) => value * size);
  };
  return Array.from({ length: Math.min(problem.length, MOST_TOKENS) }, (_, t) => {
    const place = t * HEADS.length + head;
    const [q, k, v] = [unit(rowOf(problem.q, t, head)), unit(rowOf(problem.k, t, head)), rowOf(problem.v, t, head)];
    const gateOf = (channel: number) => {
      if (typeof decay === 'function') return Math.exp(decay(head));
      if (!gates) return 1;
      return Math.exp(gates[decay === 'channelGate' ? place * DIM + channel : place]!);
    };
    const held = new Float64Array(DIM);
    for (let a = 0; a < DIM; ++a) {
      const gate = gateOf(a);
      for (let c = 0; c < DIM; ++c) {
        state[a * DIM + c]! *= gate;
        held[c]! += k[a]! * state[a * DIM + c]!;
      }
    }
    const o = new Float64Array(DIM);
    for (let a = 0; a < DIM; ++a) {
      for (let c = 0; c < DIM; ++c) {
        state[a * DIM + c]! += k[a]! * (rates ? rates[place]! * (v[c]! - held[c]!) : v[c]!);
        o[c]! += q[a]! * DIM ** -0.5 * state[a * DIM + c]!;
      }
    }
    return o;
  });
}

/** Rows that a method must give: for each, its head, its token and its numbers. */
function wantedRows(
  problem: Problem,
  check: Check,
  seen: Seen | undefined,
): { head: number; token: number; row: Float64Array }[] {
  const rows: { head: number; token: number; row: Float64Array }[] = [];
  if (check.kind === 'recurrence') {
    const head = HEADS.length - 1;
    for (const [token, row] of recurrentRows(problem, head, check).entries()) rows.push({ head, token, row });
    return rows;
  }
  for (let head = 0; head < HEADS.length; ++head) {
    for (const token of sampledRows(problem.length)) {
      if (check.kind !== 'weights') {
        if (!seen) throw new Error('nothing says which keys were seen');
        const row =
          check.kind === 'branches'
            ? branchesRow(problem, head, token, seen)
            : softmaxRow(problem, head, token, (j) => seen.sees(head, token, j), check.fading);
        rows.push({ head, token, row });
        continue;
      }
      const q = rowOf(problem.q, token, head);
      const weights = new Float64Array(problem.length);
      for (let j = 0; j <= token; ++j) weights[j] = check.weight(dot(q, rowOf(problem.k, j, head)) * DIM ** -0.5);
      rows.push({ head, token, row: weighted(problem, head, weights) });
    }
  }
  return rows;
}

/** Root mean square distance of two rows of numbers over the size of the second. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [off, size] = [0, 0];
  for (let n = 0; n < b.length; ++n) {
    off += (a[n]! - b[n]!) ** 2;
    size += b[n]! ** 2;
  }
  return Math.sqrt(off / size);
}

/** Checks an output f32 [T, H, DIM]. */
export function verify(problem: Problem, o: Float32Array, check: Check | undefined, seen: Seen | undefined): Verdict {
  if (!o.every(Number.isFinite)) return { passed: false, text: 'not finite' };
  if (!check) return { passed: true, text: 'finite; no short definition' };
  const wanted = wantedRows(problem, check, seen);
  const given = Float64Array.from(wanted.flatMap(({ head, token }) => Array.from(rowOf(o, token, head))));
  const off = distance(given, Float64Array.from(wanted.flatMap(({ row }) => Array.from(row))));
  const tolerance = (check.kind === 'softmax' && check.tolerance) || TOLERANCE;
  return {
    passed: off <= tolerance,
    text: `${off.toExponential(0)} from float64, ${wanted.length} rows`,
  };
}
