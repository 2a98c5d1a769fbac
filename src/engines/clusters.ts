/**
 * Attention within clusters of the tokens that lie nearest to centroids.
 *
 * @module
 */
import { CentroidAverageParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { sum } from './binary.ts';
import { copyIntegers, copyRows } from './copy.ts';
import { flashAttend } from './flash.ts';
import { selectIndices } from './select/bits.ts';
import { selectTopK } from './select/choose.ts';
import { gatherHeads, scatterHeads } from './select/gather.ts';
import { nearestCentroid } from './select/k-means.ts';
import { poolLabels } from './select/pool.ts';
import { scoreMap } from './select/score-map.ts';

/** Centroids f32 [H, C, D] for every entry of a batch: [B, C, H, D]. */
function forBatch(centroids: Tensor, batch: number): Tensor {
  const [H, C, D] = centroids.shape as [number, number, number];
  const [strideH, strideC] = centroids.strides as [number, number, number];
  return centroids.restride([batch, C, H, D], [0, strideC, strideH, 1]);
}

/** Adds i32 [B, H, C, n]: the n tokens of x [B, T, H, D] with the largest products with each centroid, in ascending order. */
export function clusterMembers(b: Builder, x: Tensor, centroids: Tensor, n: number): Tensor {
  const scores = scoreMap(b, { q: forBatch(centroids, x.shape[0]!), k: x, scale: 1 });
  return selectIndices(b, selectTopK(b, scores, { k: n }), n).indices;
}

/** One attention within clusters. */
export interface ClusterCall {
  /** [B, Tq, H, D], [B, Tk, H, D], [B, Tk, H, Dv] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  /** i32 [B, H, C, nq] and [B, H, C, nk]: tokens of each cluster. */
  readonly queries: Tensor;
  readonly keys: Tensor;
  /** f32 [H, C, M, D] and [H, C, M, Dv]: keys and values of each cluster that all of its queries see. */
  readonly memory?: { readonly k: Tensor; readonly v: Tensor } | undefined;
  readonly causal: boolean;
  readonly scale: number;
  /** f32 [B, Tq, H, Dv] */
  readonly o: Tensor;
}

/** Adds the rows of `x` that clusters hold, [B * H * C, M + n, 1, D], those of the memory first. */
function clusterRows(b: Builder, x: Tensor, members: Tensor, memory: Tensor | undefined): Tensor {
  const [B, H, C, n] = members.shape as [number, number, number, number];
  const d = x.shape[3]!;
  const own = gatherHeads(b, x, members.reshape([B, H, C * n]));
  if (!memory) return own.reshape([B * H * C, n, 1, d]);
  const M = memory.shape[2]!;
  const rows = b.temporary([B, H * C, M + n, d]);
  copyRows(b, memory.reshape([1, H * C, M, d]).broadcast([B, H * C, M, d]), rows.slice(2, 0, M));
  copyRows(b, own.reshape([B, H * C, n, d]), rows.slice(2, M, M + n));
  return rows.reshape([B * H * C, M + n, 1, d]);
}

/** Adds the mean, for each token, of its attention in all clusters that have it; zeros where none has. */
export function clusterAttend(b: Builder, call: ClusterCall): void {
  const { q, k, v, queries, keys, memory, causal, o } = call;
  const [B, H, C, nq] = queries.shape as [number, number, number, number];
  const M = memory?.k.shape[2] ?? 0;
  const [clusters, kLength] = [B * H * C, M + keys.shape[3]!];
  const dv = v.shape[3]!;
  let positions: { q: Tensor; k: Tensor } | undefined;
  if (causal) {
    // a memory comes before every token
    const places = b.temporary([B, H * C, kLength], 'i32');
    if (M > 0) places.write(new Int32Array(places.size).fill(-1));
    copyIntegers(b, keys.reshape([B, H * C, kLength - M]), places.slice(2, M, kLength));
    positions = { q: queries.reshape([clusters, nq]), k: places.reshape([clusters, kLength]) };
  }
  const rows = b.temporary([clusters, nq, 1, dv]);
  const sequences = Array.from({ length: clusters }, (_, batch) => {
    return { batch, qStart: 0, qLength: nq, kStart: 0, kLength, offset: kLength - nq };
  });
  flashAttend(
    b,
    {
      q: clusterRows(b, q, queries, undefined),
      k: clusterRows(b, k, keys, memory?.k),
      v: clusterRows(b, v, keys, memory?.v),
      o: rows,
      sequences,
      scale: call.scale,
      softcap: 0,
      window: [-1, causal ? 0 : -1],
    },
    { positions },
  );
  const order = queries.reshape([B, H, C * nq]);
  scatterHeads(b, rows.reshape([B * H, C * nq, 1, dv]), order, q.shape[1]!, 'mean', o);
}

/** Adds o f32 [H, C, D]: centroids moved towards the directions of the rows of `xs` [B, T, H, D] that are nearest to each. */
export function moveCentroids(
  b: Builder,
  centroids: Tensor,
  xs: readonly [Tensor, Tensor],
  decay: number,
  o: Tensor,
): void {
  const [heads, count, d] = centroids.shape as [number, number, number];
  const batch = xs[0].shape[0]!;
  const each = forBatch(centroids, batch);
  const [first, second] = xs.map((x) => poolLabels(b, x, nearestCentroid(b, x, each, 'dot'), count, 'sum').rows) as [
    Tensor,
    Tensor,
  ];
  sum(b, first, second, first);
  b.dispatch({
    kernel: 'centroidAverage',
    params: encode(CentroidAverageParams, {
      centroids: centroids.address,
      sums: first.address,
      o: o.address,
      batch,
      count,
      heads,
      d,
      decay,
    }),
    items: heads * count,
    flops: 4 * first.size,
  });
}
