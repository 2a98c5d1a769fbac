/**
 * FlexPrefill: heads choose between pairs of blocks and stripes of blocks.
 *
 * @module
 */
import { causalBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK, selectTopP } from '../engines/select/choose.ts';
import { coverCount } from '../engines/select/cover-count.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { reduceMap } from '../engines/select/reduce-map.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { queryAware, stripeBlocks } from '../engines/select/stripe-blocks.ts';
import { weightSums } from '../engines/select/weight-sums.ts';
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { attentionCall } from './attention.ts';
import { attendChosen, type ChosenInputs, type ChosenOptions, type ChosenResult } from './chosen-blocks.ts';

/** Options of `flexPrefill`. */
export interface FlexPrefillOptions extends ChosenOptions {
  /** Share of the weights that the chosen blocks hold. Default 0.9. */
  readonly gamma?: number;
  /** A head whose guess is closer to the truth than this, by the root of the Jensen-Shannon divergence, is query-aware. Default 0.1. */
  readonly tau?: number;
  /** Least and most tokens of chosen columns, and of chosen diagonals. Default 1 and no limit. */
  readonly minBudget?: number;
  readonly maxBudget?: number;
  /** Tokens of a block. Default 128. */
  readonly block?: number;
}

const OP = 'flexPrefill';

/** Lays out the call. */
export function planFlexPrefill(b: Builder, inputs: ChosenInputs, options: FlexPrefillOptions): ChosenResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['gamma', 'tau', 'minBudget', 'maxBudget', 'block', 'scale', 'returnSelection']);
  flag(OP, 'returnSelection', options.returnSelection);
  const { scale } = options;
  const call = attentionCall(b, OP, inputs, { causal: true, ...(scale !== undefined && { scale }) });
  const { q, k } = call;
  const [batch, length, heads] = q.shape as [number, number, number];
  if (k.shape[1] !== length) {
    throw new ShapeError(
      `${OP}: q has ${length} tokens and k ${k.shape[1]}, expected as many: its blocks are those of a whole prompt. Use xAttention.`,
    );
  }
  const gamma = finite(OP, 'gamma', options.gamma, 0.9, 0, 1);
  const tau = finite(OP, 'tau', options.tau, 0.1, 0);
  const minBudget = whole(OP, 'minBudget', options.minBudget, 1, 0);
  const maxBudget = whole(OP, 'maxBudget', options.maxBudget, 2 ** 31 - 1, minBudget);
  const block = whole(OP, 'block', options.block, 128, 1);
  const count = Math.ceil(length / block);
  const [least, most] = [minBudget, maxBudget].map((n) => Math.min(count, Math.ceil(n / block))) as [number, number];
  const sizes = { Tq: length, Tk: length, queryBlock: block, keyBlock: block };
  const visible = causalBlocks(sizes);

  const last = Math.min(block, length);
  const lastQ = q.slice(1, length - last, length);
  const tokens = causalBlocks({ Tq: last, Tk: length, queryBlock: 1, keyBlock: 1 });
  const group = { scale: call.scale, visible: tokens, rowGroup: Math.max(1, last), diagonals: true };
  const { columns, diagonals } = weightSums(b, { q: lastQ, k, ...group });
  const budgets = b.temporary([2, batch, heads, 1], 'i32');
  const [forColumns, forDiagonals] = [0, 1].map((i) => budgets.slice(0, i, i + 1).reshape([batch, heads, 1]));
  const cover = { share: gamma, div: block, plus: 1, least, most };
  const filled = length > 0;
  if (filled) {
    coverCount(b, columns, cover, forColumns!);
    coverCount(b, diagonals!, cover, forDiagonals!);
  }
  const columnBlocks = reduceMap(b, columns, { columns: block }, 'sum');
  const diagonalBlocks = reduceMap(b, diagonals!, { columns: block }, 'sum');

  const meanK = poolBlocks(b, k, block, 'mean');
  const meanLast = poolBlocks(b, lastQ, Math.max(1, last), 'mean');
  const guess = softmaxMap(b, scoreMap(b, { q: meanLast, k: meanK, scale: call.scale }));
  const aware = queryAware(b, { guess, sums: columnBlocks, count: last, tau, budgets, least });
  const meanQ = poolBlocks(b, q, block, 'mean');
  const map = softmaxMap(b, scoreMap(b, { q: meanQ, k: meanK, scale: call.scale, visible }), { visible });
  const pairs = selectTopP(b, map, { p: gamma, visible, scope: 'head' });
  const bits = stripeBlocks(
    b,
    selectTopK(b, columnBlocks, { k: forColumns!, first: 1 }),
    selectTopK(b, diagonalBlocks, { k: forDiagonals!, first: 1 }),
    pairs,
    aware,
  );
  return attendChosen(b, call, bits, sizes, options);
}

/**
 * Causal softmax attention of a whole prompt over blocks that each head chooses. The last block of queries is computed in full. Where a
 * softmax over the means of the key blocks comes close to its true weights, the head is query-aware: of all pairs of blocks together,
 * judged by their means, the fewest are kept that hold `gamma` of the weights. Other heads keep the columns and the diagonals, in blocks,
 * that hold `gamma` of the last queries' weights. The first column and the diagonal belong to every head.
 *
 * Source: FlexPrefill (Lai 2025), flex_prefill/ops/flex_prefill_attention.py.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await flexPrefill({ q, k, v }, { gamma: 0.9, tau: 0.1 })
 */
export function flexPrefill(inputs: ChosenInputs, options: FlexPrefillOptions = {}): Promise<ChosenResult> {
  return run(OP, inputs, (b) => planFlexPrefill(b, inputs, options));
}

/** As `flexPrefill`, to the end before it returns. */
export function flexPrefillSync(inputs: ChosenInputs, options: FlexPrefillOptions = {}): ChosenResult {
  return runSync(OP, inputs, (b) => planFlexPrefill(b, inputs, options));
}
