/**
 * XAttention: blocks chosen by sums of antidiagonals of the scores.
 *
 * @module
 */
import { causalBlocks, ownBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopP } from '../engines/select/choose.ts';
import { weightSums } from '../engines/select/weight-sums.ts';
import { expectNames, finite, flag, whole } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { attentionCall } from './attention.ts';
import {
  attendChosen,
  type ChosenInputs,
  type ChosenOptions,
  type ChosenResult,
  headTensor,
  perHead,
} from './chosen-blocks.ts';

/** Options of `xAttention`. */
export interface XAttentionOptions extends ChosenOptions {
  /** Queries and keys of one antidiagonal; the choice costs 1 / (2 stride) of dense attention. Default 8. */
  readonly stride?: number;
  /** Share of a row's weights that the chosen blocks hold at least, for all heads or one a query head. Default 0.9. */
  readonly threshold?: number | readonly number[];
  /** Queries and keys of a block, a multiple of stride. Default 128. */
  readonly block?: number;
  /** Row i sees key j only if j <= i + Tk - Tq, and every row its own blocks. Default true. */
  readonly causal?: boolean;
  /** Whether every row sees block 0. Default: as causal. */
  readonly sink?: boolean;
  /** Divides the sums, beside stride. Default 1. */
  readonly norm?: number;
}

const OP = 'xAttention';

/** Lays out the call. */
export function planXAttention(b: Builder, inputs: ChosenInputs, options: XAttentionOptions): ChosenResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  const known = ['stride', 'threshold', 'block', 'causal', 'sink', 'norm', 'scale', 'returnSelection'];
  expectNames(OP, 'option', options, known);
  const causal = flag(OP, 'causal', options.causal, true);
  const sink = flag(OP, 'sink', options.sink, causal);
  flag(OP, 'returnSelection', options.returnSelection);
  const { scale } = options;
  const call = attentionCall(b, OP, inputs, { causal, ...(scale !== undefined && { scale }) });
  const { q, k } = call;
  const [, Tq, heads] = q.shape as [number, number, number];
  const Tk = k.shape[1]!;
  const stride = whole(OP, 'stride', options.stride, 8, 1);
  const block = whole(OP, 'block', options.block, 128, 1);
  if (block % stride !== 0)
    throw new OptionError(`${OP}: block is ${block}, expected a multiple of stride = ${stride}`);
  const threshold = perHead(OP, 'threshold', options.threshold, heads, 0.9, 0, 1);
  const norm = finite(OP, 'norm', options.norm, 1);
  if (norm <= 0) throw new OptionError(`${OP}: norm is ${norm}, expected a number above 0`);

  const tiles = { Tq, Tk, queryBlock: stride, keyBlock: stride };
  const blocks = { Tq, Tk, queryBlock: block, keyBlock: block };
  const { columns: mass } = weightSums(b, {
    q,
    k,
    scale: call.scale / stride / norm,
    interleave: stride,
    rowGroup: block / stride,
    columnGroup: block / stride,
    visible: causal ? causalBlocks(tiles) : undefined,
  });
  const same = threshold.every((x) => x === threshold[0]);
  const bits = selectTopP(b, mass, {
    p: same ? (threshold[0] ?? 1) : headTensor(b, threshold, 'f32'),
    visible: causal ? causalBlocks(blocks) : undefined,
    first: sink ? 1 : 0,
    last: causal ? ownBlocks(blocks) : 0,
  });
  return attendChosen(b, call, bits, blocks, options);
}

/**
 * Softmax attention over the key blocks that hold most of the weight, judged by sums of antidiagonals: every S x S tile of the scores
 * counts by sum_r q_{S-1-r} k_r, rows of these go through a softmax and are added up by blocks, and each block of queries keeps the
 * fewest key blocks whose sums reach `threshold` of all. Causal rows always see their own blocks, and block 0 with `sink`.
 *
 * Source: XAttention (Xu 2025), xattn/src/Xattention.py, where `keep_sink` shows all blocks to row 0 instead of block 0 to all rows.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await xAttention({ q, k, v }, { stride: 8, threshold: 0.9 })
 */
export function xAttention(inputs: ChosenInputs, options: XAttentionOptions = {}): Promise<ChosenResult> {
  return run(OP, inputs, (b) => planXAttention(b, inputs, options));
}

/** As `xAttention`, to the end before it returns. */
export function xAttentionSync(inputs: ChosenInputs, options: XAttentionOptions = {}): ChosenResult {
  return runSync(OP, inputs, (b) => planXAttention(b, inputs, options));
}
