/**
 * Sparse VideoGen 2: clusters of queries see clusters of keys.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import { selectTopP } from '../engines/select/choose.ts';
import { addLogCounts, spreadLabels } from '../engines/select/cluster-maps.ts';
import { gatherHeads, scatterHeads } from '../engines/select/gather.ts';
import { type Clusters, kMeans } from '../engines/select/k-means.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { sortByLabel } from '../engines/select/sort.ts';
import { expectContiguous, expectNames, expectTypes, finite, flag, matchShapes, whole } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';
import type { ChosenInputs, ChosenOptions } from './chosen-blocks.ts';

/** Operands of `sparseVideoGen2`. */
export interface SparseVideoGen2Inputs extends ChosenInputs {
  /** f32 [B, clusters, Hq, D]: where the clusters of queries begin, such as the last step's. Default: queries at equal distances. */
  readonly qCentroids?: Tensor;
  /** f32 [B, clusters, Hkv, D]: the same of keys. */
  readonly kCentroids?: Tensor;
}

/** Options of `sparseVideoGen2`. */
export interface SparseVideoGen2Options extends ChosenOptions {
  /** Clusters of queries and of keys, at most as many as there are tokens. Default: as qCentroids, kCentroids; else one for 128 queries, 64 keys. */
  readonly qClusters?: number;
  readonly kClusters?: number;
  /** Rounds of k-means. Default 10; a few are enough from the last step's centroids. */
  readonly iterations?: number;
  /** Share of a row's weights that the chosen clusters hold. Default 0.9. */
  readonly topP?: number;
  /** Least share of the clusters of keys that a cluster of queries sees, one at least. Default 0.1. */
  readonly minRatio?: number;
}

/** Results of `sparseVideoGen2`; the last five with `returnSelection`. */
export interface SparseVideoGen2Result {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the row's denominator over the chosen keys. */
  readonly lse: Tensor;
  /** i32 [B, Hq, clusters of queries, words]: bit j & 31 of word j >> 5 shows cluster j of keys. */
  readonly selection?: Tensor;
  /** i32 [B, Hq, Tq] and [B, Hkv, Tk]: the cluster of each token. */
  readonly qLabels?: Tensor;
  readonly kLabels?: Tensor;
  /** f32 [B, clusters, Hq, D] and [B, clusters, Hkv, D]: means of the clusters, for the next step to begin with. */
  readonly qCentroids?: Tensor;
  readonly kCentroids?: Tensor;
}

const OP = 'sparseVideoGen2';
/** Tokens of a cluster, on average. */
const QUERIES = 128;
const KEYS = 64;

/** Adds clusters of x [B, T, H, D]. */
function clustersOf(
  b: Builder,
  side: 'q' | 'k',
  x: Tensor,
  initial: Tensor | undefined,
  options: SparseVideoGen2Options,
): Clusters {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const name = `${side}Clusters` as const;
  const most = Math.max(1, length);
  const usual = initial?.shape[1] ?? Math.max(1, Math.ceil(length / (side === 'q' ? QUERIES : KEYS)));
  const clusters = whole(OP, name, options[name], usual, 1, initial ? 2 ** 31 - 1 : most);
  const iterations = whole(OP, 'iterations', options.iterations, 10, 1);
  if (initial) {
    const label = `${side}Centroids`;
    matchShapes(OP, { [label]: initial }, { [label]: `${batch} ${clusters} ${heads} ${d}` });
    expectTypes(OP, { [label]: initial }, ['f32']);
    expectContiguous(OP, { [label]: initial });
  }
  return kMeans(b, x, { clusters, iterations, initial });
}

/** Lays out the call. */
export function planSparseVideoGen2(
  b: Builder,
  inputs: SparseVideoGen2Inputs,
  options: SparseVideoGen2Options,
): SparseVideoGen2Result {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'qCentroids', 'kCentroids']);
  const known = ['qClusters', 'kClusters', 'iterations', 'topP', 'minRatio', 'scale', 'returnSelection'];
  expectNames(OP, 'option', options, known);
  const keep = flag(OP, 'returnSelection', options.returnSelection);
  const { scale } = options;
  const { q, k, v, qCentroids, kCentroids } = inputs;
  const call = attentionCall(b, OP, { q, k, v }, scale === undefined ? {} : { scale });
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const topP = finite(OP, 'topP', options.topP, 0.9, 0, 1);
  const minRatio = finite(OP, 'minRatio', options.minRatio, 0.1, 0, 1);
  const clustersQ = clustersOf(b, 'q', q, qCentroids, options);
  const clustersK = clustersOf(b, 'k', k, kCentroids, options);
  const columns = clustersK.counts.shape[2]!;
  const map = scoreMap(b, { q: clustersQ.centroids, k: clustersK.centroids, scale: call.scale });
  addLogCounts(b, map, clustersK.counts);
  softmaxMap(b, map);
  const bits = selectTopP(b, map, { p: topP, minimum: Math.max(1, Math.floor(minRatio * columns)) });

  const sortedQ = sortByLabel(b, clustersQ.labels, clustersQ.counts.shape[2]!);
  const sortedK = sortByLabel(b, clustersK.labels, columns);
  const rows = gatherHeads(b, q, sortedQ.order);
  const [o, lse] = [b.temporary([B * Hq, Tq, 1, Dv]), b.temporary([B * Hq, Tq, 1])];
  // each key head with its query heads is a sequence of its own: they have an order of their own
  const group = Hq / Hkv;
  const of = (x: Tensor, d: number) => x.restride([B * Hkv, Tq, group, d], [group * Tq * d, d, Tq * d, 1]);
  const lists = (x: Tensor) => x.reshape([B * Hkv, group, ...x.shape.slice(2)]);
  flashAttend(
    b,
    {
      ...call,
      q: of(rows, D),
      k: gatherHeads(b, k, sortedK.order),
      v: gatherHeads(b, v, sortedK.order),
      o: of(o, Dv),
      lse: lse.restride([B * Hkv, Tq, group], [group * Tq, 1, Tq]),
      sequences: Array.from({ length: B * Hkv }, (_, batch) => ({
        batch,
        qStart: 0,
        qLength: Tq,
        kStart: 0,
        kLength: Tk,
        offset: Tk - Tq,
      })),
    },
    {
      selection: {
        bits: lists(bits),
        queryBlock: 1,
        keyBlock: 1,
        queryLabels: lists(spreadLabels(b, sortedQ.offsets, Hq, Tq)),
        keyLabels: lists(spreadLabels(b, sortedK.offsets, Hq, Tk)),
      },
    },
  );
  scatterHeads(b, o, sortedQ.order, Tq, 'assign', call.o);
  scatterHeads(b, lse, sortedQ.order, Tq, 'assign', call.lse);
  return {
    o: call.o,
    lse: call.lse,
    ...(keep && {
      selection: b.keep(bits),
      qLabels: b.keep(clustersQ.labels),
      kLabels: b.keep(clustersK.labels),
      qCentroids: b.keep(clustersQ.centroids),
      kCentroids: b.keep(clustersK.centroids),
    }),
  };
}

/**
 * Bidirectional softmax attention between clusters: k-means groups the queries and the keys of every head; a softmax over q_c k_c + ln of
 * the size of a key cluster says what each cluster of keys weighs for a cluster of queries, and the fewest are seen that hold `topP`, at
 * least `minRatio` of all. Tokens are sorted by cluster for the computation, and sorted back.
 *
 * Source: Sparse VideoGen 2 (Yang 2025), svg/kmeans_utils.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await sparseVideoGen2({ q, k, v }, { qClusters: 100, kClusters: 500, topP: 0.9 })
 */
export function sparseVideoGen2(
  inputs: SparseVideoGen2Inputs,
  options: SparseVideoGen2Options = {},
): Promise<SparseVideoGen2Result> {
  return run(OP, inputs, (b) => planSparseVideoGen2(b, inputs, options));
}

/** As `sparseVideoGen2`, to the end before it returns. */
export function sparseVideoGen2Sync(
  inputs: SparseVideoGen2Inputs,
  options: SparseVideoGen2Options = {},
): SparseVideoGen2Result {
  return runSync(OP, inputs, (b) => planSparseVideoGen2(b, inputs, options));
}
