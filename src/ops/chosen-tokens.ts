/**
 * What methods share that decode on chosen tokens of a cache.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { pastBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import type { Visible } from '../engines/select/map.ts';
import type { ScoreCall } from '../engines/select/score-map.ts';
import { selectScored } from '../engines/select/scored.ts';
import { expectNames, flag, whole } from '../engines/shapes.ts';
import { attendTokens } from '../engines/token-choice.ts';
import { OptionError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of attention on chosen tokens. */
export interface ChosenTokenInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv]; f32, f16 or bf16. */
  readonly v: Tensor;
}

/** Options of attention on chosen tokens. */
export interface ChosenTokenOptions {
  /** Tokens of each query and head that its scores choose. */
  readonly topk: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
  /** Whether indices and counts are results too. Default false. */
  readonly returnSelection?: boolean;
}

/** Options of methods that take the first and the newest tokens in any case. */
export interface SinkOptions extends ChosenTokenOptions {
  /** The first so many tokens are taken in any case, beside topk. Default 0. */
  readonly sinks?: number;
  /** The last so many tokens that a query sees are taken in any case, beside topk. Default 0. */
  readonly recent?: number;
}

/** Results of attention on chosen tokens. */
export interface ChosenTokenResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the sum of the chosen tokens' weights. */
  readonly lse: Tensor;
  /** i32 [B, Hq, Tq, most]: chosen tokens, ascending, -1 behind the last; with `returnSelection`. */
  readonly indices?: Tensor;
  /** i32 [B, Hq, Tq]: how many were chosen; with `returnSelection`. */
  readonly counts?: Tensor;
}

/** Names of options that all of them have, and of those with sinks. */
export const CHOICE = ['topk', 'scale', 'returnSelection'];
export const SINKS = ['sinks', 'recent'];

/** A call on checked operands. */
export interface OpenChoice {
  readonly call: AttentionCall & { readonly lse: Tensor };
  /** Tokens that each query sees: itself and those before it, aligned with the last. */
  readonly visible: Visible;
  readonly topk: number;
  readonly sinks: number;
  readonly recent: number;
  readonly keep: boolean;
}

/** Checks what the methods share: `own` are the names that a method has beside. */
export function openChoice(
  b: Builder,
  op: string,
  inputs: ChosenTokenInputs,
  options: SinkOptions,
  own: { readonly inputs: readonly string[]; readonly options: readonly string[]; readonly topk?: number },
): OpenChoice {
  expectNames(op, 'input', inputs, ['q', 'k', 'v', ...own.inputs]);
  expectNames(op, 'option', options, [...CHOICE, ...own.options]);
  const { q, k, v } = inputs;
  const call = attentionCall(b, op, { q, k, v }, { causal: true, scale: options.scale });
  if (options.topk === undefined && own.topk === undefined) {
    throw new OptionError(`${op}: topk is missing, expected how many tokens a query takes`);
  }
  return {
    call,
    visible: pastBlocks(call.q, call.k, 1),
    topk: whole(op, 'topk', options.topk, own.topk ?? 0, 0),
    sinks: whole(op, 'sinks', options.sinks, 0, 0),
    recent: whole(op, 'recent', options.recent, 0, 0),
    keep: flag(op, 'returnSelection', options.returnSelection),
  };
}

/** Adds attention on the tokens whose bits i32 [B, L, Tq, W] are set, at most `most` of each query. */
export function attendChoice(b: Builder, { call, keep }: OpenChoice, bits: Tensor, most: number): ChosenTokenResult {
  return { o: call.o, lse: call.lse, ...attendTokens(b, call, bits, most, keep) };
}

/** Adds attention on the topk tokens of the highest products of other queries and keys, with the first and the last ones. */
export function attendHighest(b: Builder, open: OpenChoice, scores: Omit<ScoreCall, 'visible'>): ChosenTokenResult {
  const { visible, topk, sinks, recent } = open;
  const bits = selectScored(b, { ...scores, visible }, (map, slab) =>
    selectTopK(b, map, { k: topk, first: sinks, last: recent, forced: 'added', ...slab }),
  );
  return attendChoice(b, open, bits, topk + sinks + recent);
}
