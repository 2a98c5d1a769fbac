/**
 * Rows grouped about centroids.
 *
 * @module
 */
import { NearestParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { asFloats } from '../copy.ts';
import { poolLabels } from './pool.ts';
import { packKeys } from './score-map.ts';

/** Rows of an item: whole groups of both builds' tiles. */
const BLOCK_ROWS = 96;

/** What rows are nearest by: least distance, or largest product. */
export type Nearness = 'euclidean' | 'dot';

/** Adds labels i32 [B, H, T]: the centroid of [B, count, H, D] that each row of x [B, T, H, D] is nearest to, the first of equals. */
export function nearestCentroid(b: Builder, x: Tensor, centroids: Tensor, by: Nearness = 'euclidean'): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const count = centroids.shape[1]!;
  const labels = b.temporary([batch, heads, length], 'i32');
  const params = encode(NearestParams, {
    xType: storageOf(x),
    cPack: packKeys(b, centroids).address,
    heads,
    length,
    d,
    count,
    blockRows: BLOCK_ROWS,
    dot: by === 'dot' ? 1 : 0,
    labels: labels.address,
  });
  encodePlaces(NearestParams, params, { x });
  b.dispatch({
    kernel: 'nearest',
    params,
    items: batch * heads * Math.ceil(length / BLOCK_ROWS),
    scratchBytes: b.runtime.scratchBytes('nearestScratchBytes', params),
    flops: 2 * x.size * count,
  });
  return labels;
}

/** Clusters of rows. */
export interface Clusters {
  /** i32 [B, H, T] */
  readonly labels: Tensor;
  /** f32 [B, count, H, D]: means of the rows of each label; of a label without rows the centroid before. */
  readonly centroids: Tensor;
  /** i32 [B, H, count] */
  readonly counts: Tensor;
}

/** How clusters are found. */
export interface ClusterOptions {
  /** At least 1, at most T where there are no initial centroids. */
  readonly clusters: number;
  /** At least 1. */
  readonly iterations: number;
  /** f32 [B, clusters, H, D]; default: rows of x at equal distances, from the first on. */
  readonly initial?: Tensor | undefined;
  readonly by?: Nearness;
}

/** Adds Lloyd's k-means of x [B, T, H, D], every head for itself. */
export function kMeans(b: Builder, x: Tensor, { clusters, iterations, initial, by }: ClusterOptions): Clusters {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const [strideB, strideT, strideH] = x.strides as [number, number, number, number];
  const step = Math.floor(length / clusters);
  const spread = () => x.restride([batch, clusters, heads, d], [strideB, step * strideT, strideH, 1]);
  let centroids = initial ?? asFloats(b, spread());
  for (let i = 1; ; ++i) {
    const labels = nearestCentroid(b, x, centroids, by);
    const { rows, counts } = poolLabels(b, x, labels, clusters, 'mean', centroids);
    if (i >= iterations) return { labels, centroids: rows, counts };
    centroids = rows;
  }
}
