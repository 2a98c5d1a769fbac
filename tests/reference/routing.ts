import { softmax } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Inputs of the op; with queries and keys i32 [B,H,C,n] the members of clusters are given. */
export interface RoutingInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  centroids: NdArray;
  memK?: NdArray;
  memV?: NdArray;
  queries?: NdArray;
  keys?: NdArray;
}

/** x [B,T,H,D] with each row divided by its length; zeros stay zeros. */
export function directions(x: NdArray, round: Round = float64): Result {
  const D = x.shape.at(-1)!;
  const out = zeros(x.shape);
  for (let from = 0; from < out.data.length; from += D) {
    const length = round(Math.sqrt(dot(x.data, from, 1, x.data, from, 1, D, round)));
    for (let d = 0; d < D; d++) out.data[from + d] = length === 0 ? 0 : round(x.data[from + d]! / length);
  }
  return out;
}

/** Products of the directions of x with one centroid: [T] for (b, h, c). */
export function centroidScores(x: NdArray, centroids: NdArray, b: number, h: number, c: number): number[] {
  const [, T = 0, , D = 0] = x.shape;
  return Array.from({ length: T }, (_, t) => {
    const from = offset(x.shape, b, t, h, 0);
    const length = Math.sqrt(dot(x.data, from, 1, x.data, from, 1, D, float64));
    return dot(x.data, from, 1, centroids.data, offset(centroids.shape, h, c, 0), 1, D, float64) / (length || 1);
  });
}

function members(
  x: NdArray,
  centroids: NdArray,
  window: number,
  given: NdArray | undefined,
  b: number,
  h: number,
  c: number,
) {
  if (given) {
    const n = given.shape[3]!;
    return Array.from({ length: n }, (_, i) => given.data[offset(given.shape, b, h, c, i)]!);
  }
  const scores = centroidScores(x, centroids, b, h, c);
  return scores
    .map((_, t) => t)
    .sort((s, t) => scores[t]! - scores[s]! || s - t)
    .slice(0, window);
}

/**
 * Attention among the `window` queries and keys nearest to each centroid by direction, and the cluster's memory; the mean over a token's
 * clusters, zeros without one: o [B,T,H,Dv] (Routing Transformer as in lucidrains, without the 1e-5 beside the count).
 */
export function routingAttention(
  { q, k, v, centroids, memK, memV, queries, keys }: RoutingInputs,
  options: { window?: number; causal?: boolean; normalize?: boolean; scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [B = 0, T = 0, H = 0, D = 0] = q.shape;
  const C = centroids.shape[1]!;
  const Dv = v.shape[3]!;
  const { window = Math.ceil(T / C), causal = false, normalize = false, scale = D ** -0.5 } = options;
  const [left, right] = normalize ? [directions(q, round), directions(k, round)] : [q, k];
  const o = zeros([B, T, H, Dv]);
  const counts = new Map<number, number>();
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      for (let c = 0; c < C; c++) {
        const memories = Array.from({ length: memK?.shape[2] ?? 0 }, (_, m) => m);
        const own = members(k, centroids, window, keys, b, h, c);
        for (const t of members(q, centroids, window, queries, b, h, c)) {
          const from = offset(q.shape, b, t, h, 0);
          const visible = own.filter((s) => !causal || s <= t);
          const score = (x: NdArray, at: number) =>
            round(round(scale) * dot(left.data, from, 1, x.data, at, 1, D, round));
          const logits = [
            ...memories.map((m) => score(memK!, offset(memK!.shape, h, c, m, 0))),
            ...visible.map((s) => score(right, offset(k.shape, b, s, h, 0))),
          ];
          const rows = [
            ...memories.map((m) => ({ data: memV!.data, at: offset(memV!.shape, h, c, m, 0) })),
            ...visible.map((s) => ({ data: v.data, at: offset(v.shape, b, s, h, 0) })),
          ];
          const { p } = softmax(logits, round);
          const to = offset(o.shape, b, t, h, 0);
          counts.set(to, (counts.get(to) ?? 0) + 1);
          for (let d = 0; d < Dv; d++) {
            let sum = 0;
            for (const [n, { data, at }] of rows.entries()) sum = round(sum + round(p[n]! * data[at + d]!));
            o.data[to + d] = round(o.data[to + d]! + sum);
          }
        }
      }
    }
  }
  for (const [to, count] of counts) {
    for (let d = 0; d < Dv; d++) o.data[to + d] = round(o.data[to + d]! / count);
  }
  return { o };
}

/** Centroids moved towards the mean direction of the queries and keys, in all of the batch, that are nearest to each: [H,C,D]. */
export function movedCentroids(
  { q, k, centroids }: { q: NdArray; k: NdArray; centroids: NdArray },
  decay: number,
  round: Round = float64,
): Result {
  const [H = 0, C = 0, D = 0] = centroids.shape;
  const out = zeros(centroids.shape);
  for (let h = 0; h < H; h++) {
    const sums = Array.from({ length: C }, () => new Array<number>(D).fill(0));
    const counts = new Array<number>(C).fill(0);
    for (const x of [q, k]) {
      const unit = directions(x, round);
      for (let b = 0; b < x.shape[0]!; b++) {
        for (let t = 0; t < x.shape[1]!; t++) {
          const at = offset(x.shape, b, t, h, 0);
          const scores = Array.from({ length: C }, (_, c) =>
            dot(unit.data, at, 1, centroids.data, offset(centroids.shape, h, c, 0), 1, D, round),
          );
          const nearest = scores.indexOf(Math.max(...scores));
          counts[nearest]! += 1;
          for (let d = 0; d < D; d++) sums[nearest]![d] = round(sums[nearest]![d]! + unit.data[at + d]!);
        }
      }
    }
    for (let c = 0; c < C; c++) {
      const length = round(Math.sqrt(dot(sums[c]!, 0, 1, sums[c]!, 0, 1, D, round)));
      const at = offset(centroids.shape, h, c, 0);
      for (let d = 0; d < D; d++) {
        const old = centroids.data[at + d]!;
        const moved = round(round(decay * old) + round(round(1 - decay) * round(sums[c]![d]! / length)));
        out.data[at + d] = counts[c] === 0 ? old : moved;
      }
    }
  }
  return out;
}
