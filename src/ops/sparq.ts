/**
 * SparQ attention.
 *
 * @module
 */
import { selectTopK } from '../engines/select/choose.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { sparqBlend, sparqScores } from '../engines/select/sparq.ts';
import { expectContiguous, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import {
  attendChoice,
  type ChosenTokenInputs,
  type ChosenTokenOptions,
  type ChosenTokenResult,
  type OpenChoice,
  openChoice,
} from './chosen-tokens.ts';

/** Operands of `sparq`. */
export interface SparqInputs extends ChosenTokenInputs {
  /** f32 [B, Hkv, D, Tk]: the keys channel by channel, any strides with the last axis contiguous; without it all of k is read. */
  readonly kT?: Tensor;
  /** f32 [B, Hkv, Dv]: the mean of all Tk values; without it all of v is read. */
  readonly vMean?: Tensor;
}

/** Options of `sparq`. */
export interface SparqOptions extends ChosenTokenOptions {
  /** Channels that are scored by: those with the largest |q|, summed over the query heads of a key head. From 1 to D. */
  readonly r: number;
  /** The last so many tokens that a query sees are among its topk in any case. Default 0. */
  readonly local?: number;
}

const OP = 'sparq';

/** What a choice by channels goes by. */
interface SparqChoice {
  readonly kT?: Tensor | undefined;
  readonly r: number;
  readonly local: number;
  /** f32 [B, Hkv, Dv], contiguous: sums of all values over `weight`; a mean has a weight of Tk. */
  readonly values: { readonly sums: Tensor; readonly weight: number };
}

/** Adds attention on the tokens that the largest channels choose, with the mean value for the rest. */
export function attendSparq(b: Builder, open: OpenChoice, { kT, r, local, values }: SparqChoice): ChosenTokenResult {
  const { call, visible, topk } = open;
  const { q, k, v, scale, o } = call;
  const map = sparqScores(b, { q, k, kT, r, scale, visible });
  const bits = selectTopK(b, map, { k: topk, last: local, visible });
  const result = attendChoice(b, open, bits, Math.max(topk, local));
  softmaxMap(b, map, { visible });
  sparqBlend(b, { map, bits, v, ...values, o, visible });
  return result;
}

/** Lays out the call. */
export function planSparq(b: Builder, inputs: SparqInputs, options: SparqOptions): ChosenTokenResult {
  const open = openChoice(b, OP, inputs, options, { inputs: ['kT', 'vMean'], options: ['r', 'local'] });
  const { k, v } = open.call;
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const Dv = v.shape[3]!;
  const { kT, vMean } = inputs;
  expectTypes(OP, { k, v }, ['f32', 'f16', 'bf16']);
  matchShapes(OP, { kT, vMean }, { kT: `?${B} ${Hkv} ${D} ${Tk}`, vMean: `?${B} ${Hkv} ${Dv}` });
  expectTypes(OP, { kT, vMean }, ['f32']);
  expectRows(OP, { kT });
  expectContiguous(OP, { vMean });
  if (options.r === undefined) throw new OptionError(`${OP}: r is missing, expected how many channels are scored by`);
  const r = whole(OP, 'r', options.r, 1, 1, D);
  const local = whole(OP, 'local', options.local, 0, 0);
  const sums = vMean ?? poolBlocks(b, v, Math.max(1, Tk), 'mean');
  return attendSparq(b, open, { kT, r, local, values: { sums, weight: Tk } });
}

/**
 * Causal attention in which every query and head scores all tokens by its r largest channels and takes the topk; the mean of all values
 * it sees stands for the rest. Logits of r channels are divided by sqrt(D |q_r|_1 / |q|_1), alpha is the share of their softmax that was
 * chosen, and o = alpha * attention on the chosen tokens + (1 - alpha) * mean. Queries are aligned with the last keys.
 *
 * With kT and vMean given a step reads r of D channels and topk tokens. With all tokens chosen alpha is 1, and it is causal attention.
 * The lse is that of the chosen tokens. A map of Tq x Tk scores a head is made: for few queries.
 *
 * Source: SparQ (Ribar 2023); reference implementation graphcore-research/llm-inference-research.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await sparq({ q, k, v, kT, vMean }, { r: 16, topk: 128, local: 32 })
 */
export function sparq(inputs: SparqInputs, options: SparqOptions): Promise<ChosenTokenResult> {
  return run(OP, inputs, (b) => planSparq(b, inputs, options));
}

/** As `sparq`, to the end before it returns. */
export function sparqSync(inputs: SparqInputs, options: SparqOptions): ChosenTokenResult {
  return runSync(OP, inputs, (b) => planSparq(b, inputs, options));
}
