/** Attention over random q, k, v in [1, T, H, D], unmasked or causal (aligned bottom-right). */
export interface AttentionProblem {
  kind: 'attention';
  heads: number;
  /** heads of k and v; as many as of q where it is absent */
  kvHeads?: number;
  /** whether query i of head h sees key j, which comes beside `causal`; all do where it is absent */
  sees?: (h: number, i: number, j: number) => boolean;
  /** pairs of queries and keys that are visible, all heads together; those of `causal` where it is absent */
  pairs?: number;
  queries: number;
  keys: number;
  dim: number;
  causal: boolean;
  scale: number;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

/** PaTH attention over random q, k, v in [1, T, H, D], with unit directions w [1, T, H, D] and strengths beta [1, T, H]. */
export interface PathProblem extends Omit<AttentionProblem, 'kind'> {
  kind: 'path';
  w: Float32Array;
  beta: Float32Array;
}

/** a [m, k] times b [k, n], row-major. */
export interface MatmulProblem {
  kind: 'matmul';
  m: number;
  k: number;
  n: number;
  a: Float32Array;
  b: Float32Array;
}

/**
 * The recurrence S_t = e^{g_t} S_{t-1} + k_t v_t, o_t = scale q_t S_t over q, k [1, T, H, K] and v [1, T, H, V]. With `beta` it is the delta
 * rule: beta_t (v_t - k_t e^{g_t} S_{t-1}) stands for v_t. Its result is o [T, H, V] with the final state [H, K, V] behind it.
 */
export interface LinearProblem {
  kind: 'linear';
  heads: number;
  tokens: number;
  keyDim: number;
  valueDim: number;
  /** no gate, one number per token and head, or one per key channel of them */
  gate: 'none' | 'scalar' | 'vector';
  scale: number;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  /** natural logs, [T, H] or [T, H, K]; empty without a gate */
  g: Float32Array;
  /** [T, H]; keys then have length 1 */
  beta?: Float32Array;
  /** [H, K, V]; zeros where there is none */
  initialState?: Float32Array;
}

/**
 * Mamba's selective scan: h = e^{dt A} h + dt u B, o = C h with dt = softplus(delta), over u, delta [1, T, D], A [D, N] and
 * B, C [1, T, N]. Its result is o [T, D] with the final state [D, N] behind it.
 */
export interface ScanProblem {
  kind: 'scan';
  tokens: number;
  channels: number;
  states: number;
  u: Float32Array;
  delta: Float32Array;
  a: Float32Array;
  b: Float32Array;
  c: Float32Array;
}

export type Problem = AttentionProblem | PathProblem | MatmulProblem | LinearProblem | ScanProblem;

/** Uniform numbers of mean 0 and the given standard deviation, the same for the same seed (xorshift32). */
export function randomArray(length: number, deviation: number, seed: number): Float32Array {
  const values = new Float32Array(length);
  const step = (2 * Math.sqrt(3) * deviation) / 2 ** 32;
  let state = seed | 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = state * step;
  }
  return values;
}

/** What an attention problem is made of; `logits` is the standard deviation of its scaled scores. */
export interface AttentionSize {
  heads: number;
  queries: number;
  keys?: number;
  dim: number;
  causal?: boolean;
  logits?: number;
}

/** A random attention problem of a size; keys default to as many as the queries, scores to a standard deviation of 1. */
export function attentionProblem({
  heads,
  queries,
  keys = queries,
  dim,
  causal = false,
  logits = 1,
}: AttentionSize): AttentionProblem {
  return {
    kind: 'attention',
    heads,
    queries,
    keys,
    dim,
    causal,
    scale: dim ** -0.5,
    q: randomArray(queries * heads * dim, logits, 1),
    k: randomArray(keys * heads * dim, 1, 2),
    v: randomArray(keys * heads * dim, 1, 3),
  };
}

/** An attention problem, which is then causal, with random unit directions and strengths from 0 to 2. */
export function pathProblem(attention: AttentionProblem): PathProblem {
  const { queries, heads, dim } = attention;
  const w = randomArray(queries * heads * dim, 1, 4);
  for (let row = 0; row < w.length; row += dim) {
    const direction = w.subarray(row, row + dim);
    const length = Math.hypot(...direction);
    for (let d = 0; d < dim; d++) direction[d]! /= length;
  }
  const beta = randomArray(queries * heads, 1 / Math.sqrt(3), 5).map((x) => 1 + x);
  return { ...attention, kind: 'path', causal: true, w, beta };
}

/** A random matrix product. */
export function matmulProblem(m: number, k: number, n: number): MatmulProblem {
  return { kind: 'matmul', m, k, n, a: randomArray(m * k, 1, 1), b: randomArray(k * n, 1, 2) };
}

/** What a linear attention problem is made of. */
export interface LinearSize {
  heads: number;
  tokens: number;
  dim: number;
  valueDim?: number;
  gate?: LinearProblem['gate'];
  /** the delta rule, its strengths uniform between 0 and 1 */
  delta?: boolean;
  /** start from a random state */
  carried?: boolean;
}

/** Log gates as a trained layer has them: uniform between -0.1 and 0. */
const mildGates = (length: number, seed: number) =>
  randomArray(length, 0.1 / Math.sqrt(3), seed).map((x) => -Math.abs(x));

/** Divides rows of `dim` numbers by their lengths. */
function normalize(rows: Float32Array, dim: number): void {
  for (let at = 0; at < rows.length; at += dim) {
    const row = rows.subarray(at, at + dim);
    const length = Math.hypot(...row);
    for (let i = 0; i < dim; i++) row[i] = row[i]! / length;
  }
}

/** A random linear attention problem of a size; no gate and as many value as key channels by default. */
export function linearProblem({
  heads,
  tokens,
  dim,
  valueDim = dim,
  gate = 'none',
  delta = false,
  carried = false,
}: LinearSize): LinearProblem {
  const gates = { none: 0, scalar: 1, vector: dim };
  const k = randomArray(tokens * heads * dim, 1, 2);
  if (delta) normalize(k, dim);
  return {
    kind: 'linear',
    heads,
    tokens,
    keyDim: dim,
    valueDim,
    gate,
    scale: dim ** -0.5,
    q: randomArray(tokens * heads * dim, 1, 1),
    k,
    v: randomArray(tokens * heads * valueDim, 1, 3),
    ...(delta ? { beta: randomArray(tokens * heads, 1 / Math.sqrt(3), 6).map(Math.abs) } : {}),
    g: mildGates(tokens * heads * gates[gate], 4),
    ...(carried ? { initialState: randomArray(heads * dim * valueDim, 1, 5) } : {}),
  };
}

/** Steps that fill the state of a problem of `dormant`, and the steps after them in which it falls. */
const DORMANT_PHASE = { linear: 64, scan: 32 };

/**
 * The same problem with gates that let the state fall by e^-96 after its first tokens and then hold it nearly still. With
 * `silent`, no key comes after those tokens, so the rest of the sequence works on a denormal state; without, it is
 * refilled all the time and never small: the same gates on ordinary numbers.
 */
export function dormantLinear(problem: LinearProblem, silent: boolean): LinearProblem {
  const phase = DORMANT_PHASE.linear;
  const perToken = problem.g.length / problem.tokens;
  const g = problem.g.map((gate, i) => {
    const token = Math.floor(i / perToken);
    if (token < phase) return gate;
    return token < 2 * phase ? -96 / phase : -0.002;
  });
  const k = silent ? problem.k.slice().fill(0, phase * problem.heads * problem.keyDim) : problem.k;
  return { ...problem, g, k };
}

/** What a selective scan problem is made of. */
export interface ScanSize {
  tokens: number;
  channels: number;
  states: number;
}

/** A random selective scan with the decays that Mamba starts from: A = -(1, 2, ... N), dt between 0.003 and 0.1. */
export function scanProblem({ tokens, channels, states }: ScanSize): ScanProblem {
  return {
    kind: 'scan',
    tokens,
    channels,
    states,
    u: randomArray(tokens * channels, 1, 1),
    delta: randomArray(tokens * channels, 1, 2).map((x) => x - 4),
    a: new Float32Array(channels * states).map((_, i) => -(i % states) - 1),
    b: randomArray(tokens * states, 1, 3),
    c: randomArray(tokens * states, 1, 4),
  };
}

/** `dormantLinear` for a scan: every channel decays alike (A = -1), and u is zero after the first tokens where `silent`. */
export function dormantScan(problem: ScanProblem, silent: boolean): ScanProblem {
  const phase = DORMANT_PHASE.scan;
  const softplusInverse = (dt: number) => Math.log(Math.expm1(dt));
  const delta = problem.delta.map((value, i) => {
    const token = Math.floor(i / problem.channels);
    if (token < phase) return value;
    return softplusInverse(token < 2 * phase ? 96 / phase : 0.002);
  });
  const u = silent ? problem.u.slice().fill(0, phase * problem.channels) : problem.u;
  return { ...problem, delta, u, a: new Float32Array(problem.a.length).fill(-1) };
}

/** The result of a recurrence as it is checked: the outputs, then the final state. */
export function withState(o: ArrayLike<number>, state: ArrayLike<number>): Float32Array {
  const result = new Float32Array(o.length + state.length);
  result.set(o);
  result.set(state, o.length);
  return result;
}

/** How many of the keys query row `i` sees. */
export function visibleKeys({ queries, keys, causal }: AttentionProblem | PathProblem, i: number): number {
  return causal ? Math.max(0, Math.min(keys, i + 1 + keys - queries)) : keys;
}

/**
 * The operations of a problem, a multiply and an add counted as two. Causal attention counts the pairs that are visible,
 * so the same figure is fair to a kernel that skips the rest and to one that computes and masks it; PaTH attention counts no more:
 * what it takes beside that is its own affair. A recurrence counts the two multiply-adds of each state element and token (three with the
 * delta rule; a scan also the products dt A and dt u B), but not its gates and
 * exponentials.
 */
export function flopsOf(problem: Problem): number {
  switch (problem.kind) {
    case 'matmul':
      return 2 * problem.m * problem.k * problem.n;
    case 'linear':
      return (problem.beta ? 6 : 4) * problem.tokens * problem.heads * problem.keyDim * problem.valueDim;
    case 'scan':
      return 6 * problem.tokens * problem.channels * problem.states;
    case 'path':
    case 'attention': {
      if (problem.kind === 'attention' && problem.pairs !== undefined) return 4 * problem.dim * problem.pairs;
      let pairs = 0;
      for (let i = 0; i < problem.queries; i++) pairs += visibleKeys(problem, i);
      return 4 * problem.heads * problem.dim * pairs;
    }
  }
}

/** State elements that a problem updates, where rates and cycles are counted by them. */
export function elementsOf(problem: Problem): number | undefined {
  return problem.kind === 'scan' ? problem.tokens * problem.channels * problem.states : undefined;
}
