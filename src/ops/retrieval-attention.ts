/**
 * Tokens retrieved from an index of the keys.
 *
 * @module
 */
import { indexAttend } from '../engines/index-attention.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { kMeans } from '../engines/select/k-means.ts';
import { labelTokens, listScores, pickListed } from '../engines/select/listed.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  attendHighest,
  type ChosenTokenInputs,
  type ChosenTokenResult,
  openChoice,
  SINKS,
  type SinkOptions,
} from './chosen-tokens.ts';

/** Operands of `retrievalAttention`. */
export interface RetrievalAttentionInputs extends ChosenTokenInputs {
  /** `[B, C, Hkv, D]`: centroids of clusters of keys, as `retrievalIndex` makes them; f32, f16 or bf16. Without them the index is flat. */
  readonly centroids?: Tensor;
  /** i32 [B, Hkv, Tk]: the cluster of each key; goes with centroids. */
  readonly labels?: Tensor;
}

/** Options of `retrievalAttention`. */
export interface RetrievalAttentionOptions extends SinkOptions {
  /** Clusters whose keys are scored: those with the largest products of query and centroid. Goes with centroids. */
  readonly nprobe?: number;
}

/** Operands of `retrievalIndex`. */
export interface RetrievalIndexInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Options of `retrievalIndex`. */
export interface RetrievalIndexOptions {
  /** From 1 to Tk. */
  readonly clusters: number;
  /** Steps of Lloyd's algorithm. Default 10. */
  readonly iterations?: number;
}

/** Results of `retrievalIndex`. */
export interface RetrievalIndexResult {
  /** f32 [B, clusters, Hkv, D] */
  readonly centroids: Tensor;
  /** i32 [B, Hkv, Tk] */
  readonly labels: Tensor;
}

const OP = 'retrievalAttention';
const INDEX = 'retrievalIndex';

/** Lays out the index. */
export function planRetrievalIndex(
  b: Builder,
  inputs: RetrievalIndexInputs,
  options: RetrievalIndexOptions,
): RetrievalIndexResult {
  expectNames(INDEX, 'input', inputs, ['k']);
  expectNames(INDEX, 'option', options, ['clusters', 'iterations']);
  const { k } = inputs;
  const { Tk } = matchShapes(INDEX, { k }, { k: 'B Tk Hkv D' }) as { Tk: number };
  expectTypes(INDEX, { k }, ['f32', 'f16', 'bf16']);
  expectRows(INDEX, { k });
  if (options.clusters === undefined)
    throw new OptionError(`${INDEX}: clusters is missing, expected how many there are`);
  const clusters = whole(INDEX, 'clusters', options.clusters, 1, 1, Math.max(1, Tk));
  const iterations = whole(INDEX, 'iterations', options.iterations, 10, 1);
  const { centroids, labels } = kMeans(b, k, { clusters, iterations });
  return { centroids: b.keep(centroids), labels: b.keep(labels) };
}

/** @throws ShapeError, DTypeError, OptionError if centroids and labels are no index of k; returns how many clusters there are. */
export function expectIndex(op: string, k: Tensor, centroids: Tensor | undefined, labels: Tensor | undefined): number {
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  if (!centroids !== !labels) {
    throw new OptionError(
      `${op}: ${labels ? 'labels' : 'centroids'} was given alone; centroids and labels go together`,
    );
  }
  const sizes = matchShapes(
    op,
    { centroids, labels },
    { centroids: `?${B} C ${Hkv} ${D}`, labels: `?${B} ${Hkv} ${Tk}` },
  ) as { C: number };
  expectTypes(op, { centroids }, ['f32', 'f16', 'bf16']);
  expectTypes(op, { labels }, ['i32']);
  expectRows(op, { centroids, labels });
  if (centroids && sizes.C < 1) throw new ShapeError(`${op}: centroids has shape [${centroids.shape}], expected some`);
  return sizes.C;
}

/** Lays out the call. */
export function planRetrievalAttention(
  b: Builder,
  inputs: RetrievalAttentionInputs,
  options: RetrievalAttentionOptions,
): ChosenTokenResult {
  const own = { inputs: ['centroids', 'labels'], options: [...SINKS, 'nprobe'] };
  const open = openChoice(b, OP, inputs, options, own);
  const { call, visible, topk, sinks, recent, keep } = open;
  const { q, k, v, scale } = call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const { centroids, labels } = inputs;
  const count = expectIndex(OP, k, centroids, labels);
  if (!centroids !== (options.nprobe === undefined)) {
    throw new OptionError(
      `${OP}: nprobe is ${options.nprobe} ${centroids ? 'with' : 'without'} centroids; they go together`,
    );
  }
  if (!centroids || !labels) return attendHighest(b, open, { q, k, scale });
  const nprobe = whole(OP, 'nprobe', options.nprobe, 1, 1);
  const Tk = k.shape[1]!;
  const forced = { first: sinks, last: recent };
  const clusters = selectTopK(b, scoreMap(b, { q, k: centroids, scale: 1 }), { k: nprobe });
  const candidates = selectIndices(b, labelTokens(b, clusters, labels, count, visible, { first: 0, last: 0 }), Tk);
  const scores = listScores(b, { q, k, scale }, candidates, forced);
  const lists = pickListed(b, candidates, selectTopK(b, scores, { k: topk }), topk, Tk, forced);
  indexAttend(b, call, lists);
  const kept = keep && { indices: b.keep(lists.indices), counts: b.keep(lists.counts) };
  return { o: call.o, lse: call.lse, ...kept };
}

/**
 * Causal attention on the topk keys with the largest products that an index finds for each query and head, with the first `sinks` and the
 * last `recent`. A flat index scores all keys; an inverted file scores those of the nprobe clusters whose centroids have the largest
 * products with the query. Queries are aligned with the last keys. With nprobe = all clusters, or topk = all tokens of a flat index, it is
 * exact.
 *
 * Lists of as many keys as there are are made for each query and head: for few queries.
 *
 * Source: RetrievalAttention (Liu 2024), whose index is a graph; flat and inverted-file indices are those that the paper compares with.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { centroids, labels } = await retrievalIndex({ k }, { clusters: 64 })
 * const { o } = await retrievalAttention({ q, k, v, centroids, labels }, { topk: 100, nprobe: 4, sinks: 4, recent: 64 })
 */
export function retrievalAttention(
  inputs: RetrievalAttentionInputs,
  options: RetrievalAttentionOptions,
): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planRetrievalAttention(b, inputs, options));
}

/** As `retrievalAttention`, to the end before it returns. */
export function retrievalAttentionSync(
  inputs: RetrievalAttentionInputs,
  options: RetrievalAttentionOptions,
): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planRetrievalAttention(b, inputs, options));
}

/**
 * An inverted file of keys: clusters of each head by Lloyd's k-means, from keys at equal distances on.
 *
 * Source: Lloyd 1957; RetrievalAttention (Liu 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { centroids, labels } = await retrievalIndex({ k }, { clusters: 64 })
 */
export function retrievalIndex(
  inputs: RetrievalIndexInputs,
  options: RetrievalIndexOptions,
): Promise<RetrievalIndexResult> {
  return run(INDEX, inputs, (b) => planRetrievalIndex(b, inputs, options));
}

/** As `retrievalIndex`, to the end before it returns. */
export function retrievalIndexSync(inputs: RetrievalIndexInputs, options: RetrievalIndexOptions): RetrievalIndexResult {
  return runSync(INDEX, inputs, (b) => planRetrievalIndex(b, inputs, options));
}
