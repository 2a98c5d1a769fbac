/**
 * Rows pooled, hashed and grouped: what sparse methods choose blocks of tokens by.
 *
 * @module
 */
import { lshBuckets as hashRows } from '../engines/select/hash.ts';
import { kMeans as lloyd, type Nearness } from '../engines/select/k-means.ts';
import { REDUCTIONS, type Reduction } from '../engines/select/map.ts';
import { poolBlocks as pool } from '../engines/select/pool.ts';
import { expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { DType, Tensor } from '../tensor.ts';

/** Operands of `poolBlocks`. */
export interface PoolBlocksInputs {
  /** f32, f16, bf16 or i8 [B, T, H, D] */
  readonly x: Tensor;
}

/** Options of `poolBlocks`. */
export interface PoolBlocksOptions {
  /** Tokens of a block. */
  readonly block: number;
  /** What becomes of a block's rows; `max` and `min` pass NaN over. Default `mean`. */
  readonly kind?: Reduction;
}

/** Operands of `lshBuckets`. */
export interface LshBucketsInputs {
  /** f32, f16, bf16 or i8 [B, T, H, D] */
  readonly x: Tensor;
  /** f32 [H or 1, D, rounds, n]: random directions. */
  readonly rotations: Tensor;
}

/** Result of `lshBuckets`. */
export interface LshBucketsResult {
  /** i32 [B, H, rounds, T]: numbers below 2n. */
  readonly buckets: Tensor;
}

/** Operands of `kMeans`. */
export interface KMeansInputs {
  /** f32, f16, bf16 or i8 [B, T, H, D] */
  readonly x: Tensor;
  /** f32 [B, clusters, H, D]; default: rows of x at equal distances, the first one first. */
  readonly initial?: Tensor;
}

/** Options of `kMeans`. */
export interface KMeansOptions {
  /** Clusters of a head; at most T without `initial`. */
  readonly clusters: number;
  /** Times that rows go to the nearest centroid and centroids to the mean of their rows. Default 4. */
  readonly iterations?: number;
  /** Nearest by least distance (`euclidean`, default) or by largest product (`dot`). */
  readonly by?: Nearness;
}

/** Results of `kMeans`. */
export interface KMeansResult {
  /** i32 [B, H, T] */
  readonly labels: Tensor;
  /** f32 [B, clusters, H, D]: means of the rows of each label; of one without rows the centroid before. */
  readonly centroids: Tensor;
  /** i32 [B, H, clusters]: rows of each label. */
  readonly counts: Tensor;
}

const ROWS: readonly DType[] = ['f32', 'f16', 'bf16', 'i8'];

/** Lays out the call. */
export function planPoolBlocks(b: Builder, inputs: PoolBlocksInputs, options: PoolBlocksOptions): { o: Tensor } {
  const op = 'poolBlocks';
  expectNames(op, 'input', inputs, ['x']);
  expectNames(op, 'option', options, ['block', 'kind']);
  const { x } = inputs;
  matchShapes(op, { x }, { x: 'B T H D' });
  expectTypes(op, { x }, ROWS);
  expectRows(op, { x });
  const { kind = 'mean' } = options;
  if (!REDUCTIONS.includes(kind)) {
    throw new OptionError(`${op}: kind is ${kind}, expected ${REDUCTIONS.join(' or ')}`);
  }
  if (options.block === undefined) throw new OptionError(`${op}: block is missing, expected the tokens of a block`);
  return { o: b.keep(pool(b, x, whole(op, 'block', options.block, 1, 1), kind)) };
}

/** Lays out the call. */
export function planLshBuckets(b: Builder, inputs: LshBucketsInputs, options: object = {}): LshBucketsResult {
  const op = 'lshBuckets';
  expectNames(op, 'input', inputs, ['x', 'rotations']);
  expectNames(op, 'option', options, []);
  const { x, rotations } = inputs;
  matchShapes(op, { x, rotations }, { x: 'B T H D', rotations: 'H|1 D rounds n' });
  expectTypes(op, { x }, ROWS);
  expectTypes(op, { rotations }, ['f32']);
  expectRows(op, { x, rotations });
  const [B, T, H] = x.shape as [number, number, number];
  const [rounds, n] = rotations.shape.slice(2) as [number, number];
  if (n === 0) {
    throw new ShapeError(`${op}: rotations has shape [${rotations.shape}], expected [H, D, rounds, n] with n > 0`);
  }
  return { buckets: b.keep(hashRows(b, x, rotations)).reshape([B, H, rounds, T]) };
}

/** Lays out the call. */
export function planKMeans(b: Builder, inputs: KMeansInputs, options: KMeansOptions): KMeansResult {
  const op = 'kMeans';
  expectNames(op, 'input', inputs, ['x', 'initial']);
  expectNames(op, 'option', options, ['clusters', 'iterations', 'by']);
  const { x, initial } = inputs;
  const clusters = whole(op, 'clusters', options.clusters ?? Number.NaN, 1, 1);
  const iterations = whole(op, 'iterations', options.iterations, 4, 1);
  const { by = 'euclidean' } = options;
  if (by !== 'euclidean' && by !== 'dot') throw new OptionError(`${op}: by is ${by}, expected euclidean or dot`);
  matchShapes(op, { x, initial }, { x: 'B T H D', initial: `?B ${clusters} H D` });
  expectTypes(op, { x }, ROWS);
  expectTypes(op, { initial }, ['f32']);
  expectRows(op, { x, initial });
  if (!initial && clusters > x.shape[1]!) {
    throw new OptionError(
      `${op}: clusters is ${clusters}, expected at most T = ${x.shape[1]}: the first centroids are rows of x. Pass initial.`,
    );
  }
  const { labels, centroids, counts } = lloyd(b, x, { clusters, iterations, initial, by });
  return { labels: b.keep(labels), centroids: b.keep(centroids), counts: b.keep(counts) };
}

/**
 * Rows of each block of tokens as one: their mean, sum, largest or least values.
 *
 * Shapes: x [B, T, H, D]; o f32 [B, ceil(T / block), H, D], the last, shorter block of its own rows only.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await poolBlocks({ x: k }, { block: 64 })
 */
export function poolBlocks(inputs: PoolBlocksInputs, options: PoolBlocksOptions): Promise<{ o: Tensor }> {
  return run('poolBlocks', inputs, (b) => planPoolBlocks(b, inputs, options));
}

/** As `poolBlocks`, to the end before it returns. */
export function poolBlocksSync(inputs: PoolBlocksInputs, options: PoolBlocksOptions): { o: Tensor } {
  return runSync('poolBlocks', inputs, (b) => planPoolBlocks(b, inputs, options));
}

/**
 * Hash buckets of rows by the nearest of random directions and their opposites: argmax [x R, -x R], the first of equals.
 *
 * Shapes: x [B, T, H, D], rotations f32 [H or 1, D, rounds, n]; buckets i32 [B, H, rounds, T]. Source: Reformer, Kitaev 2020.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { buckets } = await lshBuckets({ x: qk, rotations })
 */
export function lshBuckets(inputs: LshBucketsInputs, options: object = {}): Promise<LshBucketsResult> {
  return run('lshBuckets', inputs, (b) => planLshBuckets(b, inputs, options));
}

/** As `lshBuckets`, to the end before it returns. */
export function lshBucketsSync(inputs: LshBucketsInputs, options: object = {}): LshBucketsResult {
  return runSync('lshBuckets', inputs, (b) => planLshBuckets(b, inputs, options));
}

/**
 * Clusters of rows by Lloyd's k-means, every head for itself; the same rows give the same clusters. Of equally near centroids the first
 * one is taken.
 *
 * Shapes: x [B, T, H, D]; labels i32 [B, H, T], centroids f32 [B, clusters, H, D], counts i32 [B, H, clusters]. Source: Lloyd 1982.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { labels, centroids } = await kMeans({ x: k }, { clusters: 64, iterations: 4 })
 */
export function kMeans(inputs: KMeansInputs, options: KMeansOptions): Promise<KMeansResult> {
  return run('kMeans', inputs, (b) => planKMeans(b, inputs, options));
}

/** As `kMeans`, to the end before it returns. */
export function kMeansSync(inputs: KMeansInputs, options: KMeansOptions): KMeansResult {
  return runSync('kMeans', inputs, (b) => planKMeans(b, inputs, options));
}
