/**
 * Attention on the pages of keys whose largest possible scores are the highest.
 *
 * @module
 */
import type { AttentionCall } from '../engines/attention-call.ts';
import { attendBlocks } from '../engines/block-choice.ts';
import { selectIndices } from '../engines/select/bits.ts';
import { causalBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { pageBounds, scorePages } from '../engines/select/page-bounds.ts';
import { expectNames, expectRows, expectTypes, matchShapes, whole } from '../engines/shapes.ts';
import { DTypeError, OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { attentionCall } from './attention.ts';

/** Operands of `quest`. */
export interface QuestInputs {
  /** [B, Tq, Hq, D]; f32, f16 or bf16. */
  readonly q: Tensor;
  /** [B, Tk, Hkv, D], Hq a multiple of Hkv; f32, f16, bf16, or i8 with kScale and bounds. */
  readonly k: Tensor;
  /** [B, Tk, Hkv, Dv]; f32, f16, bf16, or i8 with vScale. */
  readonly v: Tensor;
  /** f32 [B, Tk, Hkv]: an i8 key is code * kScale. */
  readonly kScale?: Tensor;
  /** f32 [B, Tk, Hkv]: an i8 value is code * vScale. */
  readonly vScale?: Tensor;
  /** [B, Hkv, ceil(Tk / pageSize), 2, D]; f32 or bf16, as `questPages` makes them; made of k if absent, which reads all keys. */
  readonly bounds?: Tensor;
}

/** Options of `quest`. */
export interface QuestOptions {
  /** Keys of a page. Default 16. */
  readonly pageSize?: number;
  /** Pages of each query and head, at least 1. */
  readonly topk: number;
  /** Factor on q k. Default D^-1/2. */
  readonly scale?: number;
}

/** Results of `quest`. */
export interface QuestResult {
  /** f32 [B, Tq, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, Tq, Hq]: natural log of the sum of the chosen keys' weights. */
  readonly lse: Tensor;
  /** i32 [B, Hq, Tq, min(topk, pages)], of single queries [B, Hq, min(topk, pages)]: chosen pages, ascending, -1 behind the last. */
  readonly pages: Tensor;
}

/** Operands of `questPages`. */
export interface QuestPagesInputs {
  /** [B, Tk, Hkv, D]; f32, f16 or bf16. */
  readonly k: Tensor;
}

/** Options of `questPages`. */
export interface QuestPagesOptions {
  /** Keys of a page. Default 16. */
  readonly pageSize?: number;
  /** `bf16`: half the memory, and bounds that are rounded outward, so that they still hold. Default `f32`. */
  readonly dtype?: 'f32' | 'bf16';
}

/** Results of `questPages`. */
export interface QuestPagesResult {
  /** `[B, Hkv, ceil(Tk / pageSize), 2, D]`: the largest and the least of each channel in each page; a last, shorter page is of its own keys. */
  readonly bounds: Tensor;
}

const OP = 'quest';
const PAGES = 'questPages';
const PAGE_SIZE = 16;

/** Lays out the bounds of pages. */
export function planQuestPages(b: Builder, inputs: QuestPagesInputs, options: QuestPagesOptions): QuestPagesResult {
  expectNames(PAGES, 'input', inputs, ['k']);
  expectNames(PAGES, 'option', options, ['pageSize', 'dtype']);
  const { k } = inputs;
  matchShapes(PAGES, { k }, { k: 'B Tk Hkv D' });
  expectTypes(PAGES, { k }, ['f32', 'f16', 'bf16']);
  expectRows(PAGES, { k });
  const page = whole(PAGES, 'pageSize', options.pageSize, PAGE_SIZE, 1);
  const [B, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const { dtype = 'f32' } = options;
  if (dtype !== 'f32' && dtype !== 'bf16') throw new OptionError(`${PAGES}: dtype is ${dtype}, expected f32 or bf16`);
  const bounds = b.output([B, Hkv, Math.ceil(Tk / page), 2, D], dtype);
  pageBounds(b, k, page, bounds);
  return { bounds };
}

/** Adds causal attention on the topk pages of each query; returns the pages' bits i32 [B, Hq, Tq, W]. */
export function attendPages(b: Builder, call: AttentionCall, bounds: Tensor, page: number, topk: number): Tensor {
  const { q, k } = call;
  const visible = causalBlocks({ Tq: q.shape[1]!, Tk: k.shape[1]!, queryBlock: 1, keyBlock: page });
  const bits = selectTopK(b, scorePages(b, q, bounds, visible), { k: topk, visible });
  attendBlocks(b, call, { bits, keyBlock: page, count: topk });
  return bits;
}

/** Lays out the call. */
export function planQuest(b: Builder, inputs: QuestInputs, options: QuestOptions): QuestResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'kScale', 'vScale', 'bounds']);
  expectNames(OP, 'option', options, ['pageSize', 'topk', 'scale']);
  const { bounds: given, ...rest } = inputs;
  const call = attentionCall(b, OP, rest, { causal: true, scale: options.scale });
  const { q, k } = call;
  const page = whole(OP, 'pageSize', options.pageSize, PAGE_SIZE, 1);
  if (options.topk === undefined)
    throw new OptionError(`${OP}: topk is missing, expected how many pages a query takes`);
  const topk = whole(OP, 'topk', options.topk, 1, 1);
  const [B, Tq, Hq] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, D] = k.shape as [number, number, number, number];
  const count = Math.ceil(Tk / page);
  matchShapes(OP, { bounds: given }, { bounds: `?${B} ${Hkv} ${count} 2 ${D}` });
  expectTypes(OP, { bounds: given }, ['f32', 'bf16']);
  if (given && given.size > 0 && (given.strides[4] !== 1 || given.strides[3] !== D)) {
    throw new ShapeError(
      `${OP}: bounds (shape [${given.shape}], strides [${given.strides}]) must be contiguous along its last two axes, as questPages makes them`,
    );
  }
  if (k.dtype === 'i8' && !given) {
    throw new DTypeError(
      `${OP}: k is i8 without bounds. Make them by questPages of the keys before they are quantised.`,
    );
  }
  const bounds = given ?? b.temporary([B, Hkv, count, 2, D]);
  if (!given) pageBounds(b, k, page, bounds);
  const bits = attendPages(b, call, bounds, page, topk);
  const pages = b.keep(selectIndices(b, bits, Math.min(topk, count)).indices);
  return { o: call.o, lse: call.lse, pages: Tq === 1 ? pages.reshape([B, Hq, Math.min(topk, count)]) : pages };
}

/**
 * Causal attention in which every query and head takes the topk pages of keys whose scores could be highest, by the largest and the least
 * element of each channel in the page: sum over c of max(q_c max_c, q_c min_c), which no key of the page exceeds. Queries are aligned with
 * the last keys. With the bounds given a step reads them and the chosen pages, not the cache.
 *
 * Shapes: q [B, Tq, Hq, D], k [B, Tk, Hkv, D], v [B, Tk, Hkv, Dv], bounds [B, Hkv, ceil(Tk / pageSize), 2, D]; o f32 [B, Tq, Hq, Dv].
 * With topk at least the number of pages it is causal attention.
 *
 * Source: Quest (Tang 2024); reference implementation mit-han-lab/Quest, whose first two layers stay dense.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const { bounds } = await questPages({ k }, { pageSize: 16 })
 * const { o, pages } = await quest({ q, k, v, bounds }, { pageSize: 16, topk: 64 })
 */
export function quest(inputs: QuestInputs, options: QuestOptions): Promise<QuestResult> {
  return run(OP, inputs, (b) => planQuest(b, inputs, options));
}

/** As `quest`, to the end before it returns. */
export function questSync(inputs: QuestInputs, options: QuestOptions): QuestResult {
  return runSync(OP, inputs, (b) => planQuest(b, inputs, options));
}

/**
 * The largest and the least of each channel of keys in each page: what `quest` chooses pages by. Made once for a cache; of a cache that
 * grows only the last page changes, so `questPages` of the keys from its start on gives what is to be put there.
 *
 * Shapes: k [B, Tk, Hkv, D]; bounds [B, Hkv, ceil(Tk / pageSize), 2, D], f32 or bf16.
 *
 * Source: Quest (Tang 2024); reference implementation mit-han-lab/Quest.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { bounds } = await questPages({ k }, { pageSize: 16 })
 */
export function questPages(inputs: QuestPagesInputs, options: QuestPagesOptions = {}): Promise<QuestPagesResult> {
  return run(PAGES, inputs, (b) => planQuestPages(b, inputs, options));
}

/** As `questPages`, to the end before it returns. */
export function questPagesSync(inputs: QuestPagesInputs, options: QuestPagesOptions = {}): QuestPagesResult {
  return runSync(PAGES, inputs, (b) => planQuestPages(b, inputs, options));
}
