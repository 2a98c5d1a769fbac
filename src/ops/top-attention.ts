/**
 * Attention on the keys with the highest scores: as many as asked for, or as few as hold a share of the softmax.
 *
 * @module
 */
import { countBits } from '../engines/select/bits.ts';
import { pastBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK, selectTopP } from '../engines/select/choose.ts';
import { selectScored } from '../engines/select/scored.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { attendTokens } from '../engines/token-choice.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attentionCall } from './attention.ts';

/** Operands of `topKAttention` and `topPAttention`. */
export interface TopAttentionInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16 or bf16. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
}

/** Options of `topKAttention`. */
export interface TopKAttentionOptions extends Pick<AttentionOptions, 'causal' | 'scale'> {
  /** Keys of each query and head, at most all that it sees. */
  readonly k: number;
  /** Whether indices and counts are results too. Default false. */
  readonly returnSelection?: boolean;
}

/** Options of `topPAttention`. */
export interface TopPAttentionOptions extends Pick<AttentionOptions, 'causal' | 'scale'> {
  /** Share of the softmax that the chosen keys hold at least, from 0 to 1; a query has one key in any case. */
  readonly p: number;
  /** Whether indices are a result too. Default false. */
  readonly returnSelection?: boolean;
}

/** Results of `topKAttention`. */
export interface TopKAttentionResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the sum of the chosen keys' weights. */
  readonly lse: Tensor;
  /** i32 [B, Hq, Tq, min(k, Tk)]: chosen keys in ascending order, -1 behind the last; with `returnSelection`. */
  readonly indices?: Tensor;
  /** i32 [B, Hq, Tq]: how many keys were chosen; with `returnSelection`. */
  readonly counts?: Tensor;
}

/** Results of `topPAttention`. */
export interface TopPAttentionResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the sum of the chosen keys' weights. */
  readonly lse: Tensor;
  /** i32 [B, Hq, Tq], of single queries [B, Hq]: how many keys were chosen. */
  readonly counts: Tensor;
  /** i32 [B, Hq, Tq, Tk]: chosen keys in ascending order, -1 behind the last; with `returnSelection`. */
  readonly indices?: Tensor;
}

/** A call of either on checked operands. */
function openTop(
  b: Builder,
  op: string,
  inputs: TopAttentionInputs,
  options: Pick<AttentionOptions, 'causal' | 'scale'> & { readonly returnSelection?: boolean },
) {
  expectNames(op, 'input', inputs, ['q', 'k', 'v']);
  const { causal = false, scale, returnSelection = false } = options;
  const call = attentionCall(b, op, inputs, { causal, scale });
  const { q, k } = call;
  const visible = causal ? pastBlocks(q, k, 1) : undefined;
  return { call, scores: { q, k, scale: call.scale, visible }, keep: flag(op, 'returnSelection', returnSelection) };
}

/** Lays out attention on the k highest scores. */
export function planTopKAttention(
  b: Builder,
  inputs: TopAttentionInputs,
  options: TopKAttentionOptions,
): TopKAttentionResult {
  const op = 'topKAttention';
  expectNames(op, 'option', options, ['k', 'causal', 'scale', 'returnSelection']);
  if (options.k === undefined) throw new OptionError(`${op}: k is missing, expected how many keys each query takes`);
  const k = whole(op, 'k', options.k, 0, 0);
  const { call, scores, keep } = openTop(b, op, inputs, options);
  const bits = selectScored(b, scores, (map, slab) => selectTopK(b, map, { k, ...slab }));
  return { o: call.o, lse: call.lse, ...attendTokens(b, call, bits, k, keep) };
}

/** Lays out attention on a share of the softmax. */
export function planTopPAttention(
  b: Builder,
  inputs: TopAttentionInputs,
  options: TopPAttentionOptions,
): TopPAttentionResult {
  const op = 'topPAttention';
  expectNames(op, 'option', options, ['p', 'causal', 'scale', 'returnSelection']);
  if (options.p === undefined) throw new OptionError(`${op}: p is missing, expected a share from 0 to 1`);
  const p = finite(op, 'p', options.p, 1, 0, 1);
  const { call, scores, keep } = openTop(b, op, inputs, options);
  const bits = selectScored(b, scores, (map, slab) => {
    const { visible, into } = slab;
    selectTopP(b, softmaxMap(b, map, { visible }), { p, visible, into });
  });
  const [batch, Tq, heads] = call.q.shape as [number, number, number];
  const { indices, counts = b.keep(countBits(b, bits)) } = attendTokens(b, call, bits, call.k.shape[1]!, keep);
  return {
    o: call.o,
    lse: call.lse,
    counts: Tq === 1 ? counts.reshape([batch, heads]) : counts,
    ...(indices && { indices }),
  };
}

/**
 * Softmax attention over the k keys with the highest scores of each query and head; of equal scores the earlier key. All scores are
 * made, and as many rows of them at a time as fit: what a cheaper choice of keys is measured against.
 *
 * Source: explicit sparse transformer (Zhao 2019); the exact oracle of decoding by top-k selection.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await topKAttention({ q, k, v }, { k: 64, causal: true })
 */
export function topKAttention(inputs: TopAttentionInputs, options: TopKAttentionOptions): Promise<TopKAttentionResult> {
  return run('topKAttention', inputs, (b) => planTopKAttention(b, inputs, options));
}

/** As `topKAttention`, to the end before it returns. */
export function topKAttentionSync(inputs: TopAttentionInputs, options: TopKAttentionOptions): TopKAttentionResult {
  return runSync('topKAttention', inputs, (b) => planTopKAttention(b, inputs, options));
}

/**
 * Softmax attention over the fewest keys of each query and head that hold a share p of its softmax.
 *
 * Source: the oracle that Tactic (Zhu 2025) and Twilight (Lin 2025) approximate.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, counts } = await topPAttention({ q, k, v }, { p: 0.9 })
 */
export function topPAttention(inputs: TopAttentionInputs, options: TopPAttentionOptions): Promise<TopPAttentionResult> {
  return run('topPAttention', inputs, (b) => planTopPAttention(b, inputs, options));
}

/** As `topPAttention`, to the end before it returns. */
export function topPAttentionSync(inputs: TopAttentionInputs, options: TopPAttentionOptions): TopPAttentionResult {
  return runSync('topPAttention', inputs, (b) => planTopPAttention(b, inputs, options));
}
