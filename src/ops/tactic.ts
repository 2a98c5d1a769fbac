/**
 * Tactic: tokens by clusters of keys, as few as hold a share of the softmax by a fitted curve.
 *
 * @module
 */
import { tailFit } from '../engines/select/tail-fit.ts';
import { expectNames, expectTypes, finite, whole } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attendChoice, type ChosenTokenInputs, type ChosenTokenResult, openChoice, SINKS } from './chosen-tokens.ts';
import { expectIndex } from './retrieval-attention.ts';

/** Operands of `tactic`. */
export interface TacticInputs extends ChosenTokenInputs {
  /** `[B, C, Hkv, D]`: centroids of clusters of keys, as `retrievalIndex` makes them; f32, f16 or bf16. */
  readonly centroids: Tensor;
  /** i32 [B, Hkv, Tk]: the cluster of each key; a key with a label outside 0 to C - 1 is in none. */
  readonly labels: Tensor;
}

/** Options of `tactic`. */
export interface TacticOptions {
  /** Share of the softmax, from 0 to 1. */
  readonly p: number;
  /** Tokens of the best clusters whose weights are computed. Default 64. */
  readonly exact?: number;
  /** Tokens of the rest whose weights are computed to fit the curve to, at equal distances. Default 64. */
  readonly samples?: number;
  /** The first so many tokens are taken in any case. Default 0. */
  readonly sinks?: number;
  /** The last so many tokens that a query sees are taken in any case. Default 0. */
  readonly recent?: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether indices and counts are results too. Default false. */
  readonly returnSelection?: boolean;
}

const OP = 'tactic';
const OPTIONS = ['p', 'exact', 'samples', ...SINKS, 'scale', 'returnSelection'];

/** Lays out the call. */
export function planTactic(b: Builder, inputs: TacticInputs, options: TacticOptions): ChosenTokenResult {
  expectNames(OP, 'option', options, OPTIONS);
  const { p: asked, exact, samples, ...rest } = options;
  const own = { inputs: ['centroids', 'labels'], options: SINKS, topk: 0 };
  const open = openChoice(b, OP, inputs, rest as never, own);
  const { call, sinks, recent } = open;
  const { q, k, v, scale } = call;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  const { centroids, labels } = inputs;
  if (!centroids || !labels) {
    throw new ShapeError(`${OP}: ${centroids ? 'labels' : 'centroids'} is missing. Make both with retrievalIndex().`);
  }
  expectIndex(OP, k, centroids, labels);
  if (asked === undefined) throw new OptionError(`${OP}: p is missing, expected a share from 0 to 1`);
  const bits = tailFit(b, {
    q,
    k,
    centroids,
    labels,
    scale,
    share: finite(OP, 'p', asked, 1, 0, 1),
    exact: whole(OP, 'exact', exact, 64, 0),
    samples: whole(OP, 'samples', samples, 64, 1),
    first: sinks,
    last: recent,
  });
  return attendChoice(b, open, bits, k.shape[1]!);
}

/**
 * Causal attention on the tokens of the clusters whose centroids have the largest products with a query, as many as hold a share p of its
 * softmax by estimate, with the first `sinks` and the last `recent`. Tokens lie by falling scores of their clusters, those of one cluster in
 * their order. Weights of the first `exact` are computed, and of `samples` others at equal distances, to which a / x + b is fitted by least
 * squares, x the place; the shortest prefix that holds p of the sum of both is taken. With p = 1 it is attention on all clustered tokens.
 * Queries are aligned with the last keys.
 *
 * How far a query goes depends on it alone: no number of tokens is to be chosen.
 *
 * Source: Tactic (Zhu 2025), by its description: clusters at prefill, sampled scores, a fitted tail.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { centroids, labels } = await retrievalIndex({ k }, { clusters: 64 })
 * const { o, counts } = await tactic({ q, k, v, centroids, labels }, { p: 0.9, sinks: 4, recent: 64, returnSelection: true })
 */
export function tactic(inputs: TacticInputs, options: TacticOptions): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planTactic(b, inputs, options));
}

/** As `tactic`, to the end before it returns. */
export function tacticSync(inputs: TacticInputs, options: TacticOptions): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planTactic(b, inputs, options));
}
