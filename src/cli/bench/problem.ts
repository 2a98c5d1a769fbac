/** Attention over random q, k, v in [1, T, H, D], unmasked or causal (aligned bottom-right). */
export interface AttentionProblem {
  kind: 'attention';
  heads: number;
  queries: number;
  keys: number;
  dim: number;
  causal: boolean;
  scale: number;
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
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

export type Problem = AttentionProblem | MatmulProblem;

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

/** A random matrix product. */
export function matmulProblem(m: number, k: number, n: number): MatmulProblem {
  return { kind: 'matmul', m, k, n, a: randomArray(m * k, 1, 1), b: randomArray(k * n, 1, 2) };
}

/** How many of the keys query row `i` sees. */
export function visibleKeys({ queries, keys, causal }: AttentionProblem, i: number): number {
  return causal ? Math.max(0, Math.min(keys, i + 1 + keys - queries)) : keys;
}

/**
 * The operations of a problem, a multiply and an add counted as two. Causal attention counts the pairs that are visible,
 * so the same figure is fair to a kernel that skips the rest and to one that computes and masks it.
 */
export function flopsOf(problem: Problem): number {
  if (problem.kind === 'matmul') return 2 * problem.m * problem.k * problem.n;
  let pairs = 0;
  for (let i = 0; i < problem.queries; i++) pairs += visibleKeys(problem, i);
  return 4 * problem.heads * problem.dim * pairs;
}
