/**
 * SpargeAttn: blocks chosen by their means where they are alike in themselves.
 *
 * @module
 */
import { causalBlocks } from '../engines/select/causal-blocks.ts';
import { selectTopK } from '../engines/select/choose.ts';
import { coverCount } from '../engines/select/cover-count.ts';
import { poolBlocks } from '../engines/select/pool.ts';
import { scoreMap } from '../engines/select/score-map.ts';
import { hideDissimilar, selfSimilarity, showDissimilar } from '../engines/select/self-similarity.ts';
import { softmaxMap } from '../engines/select/softmax-map.ts';
import { expectNames, finite, flag } from '../engines/shapes.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { attentionCall } from './attention.ts';
import { attendChosen, type ChosenInputs, type ChosenOptions, type ChosenResult, perHead } from './chosen-blocks.ts';

/** Options of `spargeAttn`. */
export interface SpargeAttnOptions extends ChosenOptions {
  /** Blocks whose mean cosine is at most theta are always computed; for all heads or one a query head. Default 0.6; -1 or less: none are. */
  readonly theta?: number | readonly number[];
  /** Share of a row's weights that the chosen blocks do not pass, one block at least; for all heads or one a query head. Default 0.98. */
  readonly cdf?: number | readonly number[];
  /** Instead of cdf: the share of all key blocks that are chosen. */
  readonly topK?: number;
  /** Stage 2: a row passes over 64 keys whose scores are all so far below its largest so far, in powers of two. Default: it passes over none. */
  readonly skipBelow?: number;
  /** Whether likeness is that of keys less their mean over the sequence. Default true. */
  readonly smoothK?: boolean;
  /** Whether every row sees block 0. Default false. */
  readonly sink?: boolean;
  /** Row i sees key j only if j <= i + Tk - Tq. Default false. */
  readonly causal?: boolean;
}

const OP = 'spargeAttn';
const QUERY_BLOCK = 128;
const KEY_BLOCK = 64;

/** Lays out the call. */
export function planSpargeAttn(b: Builder, inputs: ChosenInputs, options: SpargeAttnOptions): ChosenResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  const known = ['theta', 'cdf', 'topK', 'skipBelow', 'smoothK', 'sink', 'causal', 'scale', 'returnSelection'];
  expectNames(OP, 'option', options, known);
  const causal = flag(OP, 'causal', options.causal);
  const sink = flag(OP, 'sink', options.sink);
  const smoothK = flag(OP, 'smoothK', options.smoothK, true);
  flag(OP, 'returnSelection', options.returnSelection);
  const { scale, topK } = options;
  const call = attentionCall(b, OP, inputs, { causal, ...(scale !== undefined && { scale }) });
  const { q, k } = call;
  const [, Tq, heads] = q.shape as [number, number, number];
  const Tk = k.shape[1]!;
  if (topK !== undefined && options.cdf !== undefined) {
    throw new OptionError(`${OP}: cdf and topK were both given, expected one of them`);
  }
  const theta = perHead(OP, 'theta', options.theta, heads, 0.6, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY);
  const cdf = perHead(OP, 'cdf', options.cdf, heads, 0.98, 0, 1);
  const ratio = finite(OP, 'topK', topK, 1, 0, 1);
  const skipBelow = options.skipBelow === undefined ? undefined : finite(OP, 'skipBelow', options.skipBelow, 0, 0);

  const visible = causal ? causalBlocks({ Tq, Tk, queryBlock: QUERY_BLOCK, keyBlock: KEY_BLOCK }) : undefined;
  const map = scoreMap(b, {
    q: poolBlocks(b, q, QUERY_BLOCK, 'mean'),
    k: poolBlocks(b, k, KEY_BLOCK, 'mean'),
    scale: call.scale,
    visible,
  });
  const columns = map.shape[3]!;
  const mean = smoothK && Tk > 0 ? poolBlocks(b, k, Tk, 'mean') : undefined;
  const similarity = {
    q: selfSimilarity(b, q, QUERY_BLOCK),
    k: selfSimilarity(b, k, KEY_BLOCK, mean),
    theta,
    visible,
  };
  hideDissimilar(b, map, similarity);
  const count = b.temporary(map.shape.slice(0, 3), 'i32');
  if (topK === undefined) {
    softmaxMap(b, map, { visible });
    const same = cdf.every((x) => x === cdf[0]);
    // one less than reach the share: those that do not pass it
    const share = same ? (cdf[0] ?? 1) : cdf;
    coverCount(b, map, { share, visible, plus: -1, least: 1, most: columns }, count);
  }
  const bits = selectTopK(b, map, {
    k: topK === undefined ? count : Math.max(1, Math.floor(ratio * columns)),
    visible,
  });
  showDissimilar(b, map, bits, similarity, sink);
  return attendChosen(b, call, bits, { queryBlock: QUERY_BLOCK, keyBlock: KEY_BLOCK, skipBelow }, options);
}

/**
 * Softmax attention in two stages of skipping. Blocks of 128 queries and 64 keys are judged by their means, and only where their rows are
 * alike (mean cosine above `theta`): of the softmax over alike key blocks the largest are kept whose sum does not pass `cdf`, at least one.
 * Blocks that are not alike are always computed. Within what is computed, a row passes over keys that are `skipBelow` under its maximum.
 *
 * Source: SpargeAttn (Zhang 2025), spas_sage_attn/utils.py; without its 8-bit arithmetic.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @throws MemoryLimitError if the outputs or temporaries do not fit.
 * @example const { o } = await spargeAttn({ q, k, v }, { theta: 0.6, cdf: 0.98, causal: true })
 */
export function spargeAttn(inputs: ChosenInputs, options: SpargeAttnOptions = {}): Promise<ChosenResult> {
  return run(OP, inputs, (b) => planSpargeAttn(b, inputs, options));
}

/** As `spargeAttn`, to the end before it returns. */
export function spargeAttnSync(inputs: ChosenInputs, options: SpargeAttnOptions = {}): ChosenResult {
  return runSync(OP, inputs, (b) => planSpargeAttn(b, inputs, options));
}
