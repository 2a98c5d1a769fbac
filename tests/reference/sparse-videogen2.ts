import { attention } from './attention.ts';
import { heaviest, maskOf, product, rowOf, rowsOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of sparseVideoGen2. */
export interface SparseVideoGen2Inputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  qCentroids?: NdArray;
  kCentroids?: NdArray;
}

/** Options of sparseVideoGen2. */
export interface SparseVideoGen2Options {
  qClusters?: number;
  kClusters?: number;
  iterations?: number;
  topP?: number;
  minRatio?: number;
  scale?: number;
}

/** Clusters of one side. */
interface Clusters {
  /** [B,H,T] */
  labels: Result;
  /** [B,count,H,D] */
  centroids: Result;
  gap: number;
}

/** Lloyd's k-means of each head from given centroids, or from rows at equal distances; an empty cluster stays where it was. */
export function clustersOf(x: NdArray, count: number, iterations: number, initial?: NdArray): Clusters {
  const [batches = 0, length = 0, heads = 0, d = 0] = x.shape;
  const labels = zeros([batches, heads, length]);
  const centroids = zeros([batches, count, heads, d]);
  let gap = Number.POSITIVE_INFINITY;
  const step = Math.floor(length / count);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const rows = rowsOf(x, b, h);
      let means = Array.from({ length: count }, (_, c) =>
        initial ? rowOf(initial, b, c, h) : rowOf(x, b, c * step, h),
      );
      for (let i = 0; i < iterations; i++) {
        const members: number[][][] = means.map(() => []);
        for (let t = 0; t < length; t++) {
          const row = rows[t]!;
          const distances = means.map((m) => m.reduce((sum, y, c) => sum + (row[c]! - y) ** 2, 0));
          const nearest = distances.indexOf(Math.min(...distances));
          // equal centroids are no near decision
          const others = distances.filter((y) => y !== distances[nearest]);
          const size = product(row, row) + Math.max(...means.map((m) => product(m, m)));
          if (others.length > 0) gap = Math.min(gap, (Math.min(...others) - distances[nearest]!) / size);
          labels.data[offset(labels.shape, b, h, t)] = nearest;
          members[nearest]!.push(row);
        }
        means = means.map((m, c) => {
          const own = members[c]!;
          return own.length === 0 ? m : m.map((_, at) => own.reduce((sum, row) => sum + row[at]!, 0) / own.length);
        });
      }
      means.forEach((m, c) => {
        centroids.data.set(m, offset(centroids.shape, b, c, h, 0));
      });
    }
  }
  return { labels, centroids, gap };
}

/**
 * Clusters of queries and keys by k-means, and for each cluster of queries the fewest clusters of keys whose weights, softmax of
 * q_c k_c scale + ln size, reach topP, at least minRatio of all: u8 [B,Hq,qClusters,kClusters] (Sparse VideoGen 2, arXiv 2505.18875).
 */
export function sparseVideoGen2Choice(
  { q, k, qCentroids, kCentroids }: SparseVideoGen2Inputs,
  {
    qClusters = qCentroids?.shape[1] ?? Math.max(1, Math.ceil(q.shape[1]! / 128)),
    kClusters = kCentroids?.shape[1] ?? Math.max(1, Math.ceil(k.shape[1]! / 64)),
    iterations = 10,
    topP = 0.9,
    minRatio = 0.1,
    scale,
  }: SparseVideoGen2Options = {},
): { chosen: Result; q: Clusters; k: Clusters; gap: number } {
  const [batches = 0, , heads = 0, d = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const byQ = clustersOf(q, qClusters, iterations, qCentroids);
  const byK = clustersOf(k, kClusters, iterations, kCentroids);
  const chosen = zeros([batches, heads, qClusters, kClusters]);
  let gap = Math.min(byQ.gap, byK.gap);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / kvHeads));
      const sizes = new Array<number>(kClusters).fill(0);
      for (let t = 0; t < tk; t++) sizes[byK.labels.data[offset(byK.labels.shape, b, kh, t)]!]! += 1;
      for (let r = 0; r < qClusters; r++) {
        const scores = sizes.map(
          (n, c) =>
            (scale ?? d ** -0.5) * product(rowOf(byQ.centroids, b, r, h), rowOf(byK.centroids, b, c, kh)) + Math.log(n),
        );
        const choice = heaviest(softmaxOf(scores), topP, { minimum: Math.max(1, Math.floor(minRatio * kClusters)) });
        gap = Math.min(gap, choice.gap);
        for (const c of choice.chosen) chosen.data[offset(chosen.shape, b, h, r, c)] = 1;
      }
    }
  }
  return { chosen, q: byQ, k: byK, gap };
}

/** Softmax attention between the clusters that were chosen. */
export function sparseVideoGen2(
  inputs: SparseVideoGen2Inputs,
  options: SparseVideoGen2Options = {},
  round: Round = float64,
  choice = sparseVideoGen2Choice(inputs, options),
): { o: Result; lse: Result } {
  const { q, k, v } = inputs;
  const [batches = 0, tq = 0, heads = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const mask = maskOf([batches, heads, tq, tk], (b, h, i, j) => {
    const r = choice.q.labels.data[offset(choice.q.labels.shape, b, h, i)]!;
    const kh = Math.floor(h / (heads / kvHeads));
    const c = choice.k.labels.data[offset(choice.k.labels.shape, b, kh, j)]!;
    return choice.chosen.data[offset(choice.chosen.shape, b, h, r, c)] === 1;
  });
  const { scale } = options;
  return attention({ q, k, v, mask }, scale === undefined ? {} : { scale }, round);
}
