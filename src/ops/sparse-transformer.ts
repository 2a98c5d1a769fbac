/**
 * The factorised patterns of the Sparse Transformer.
 *
 * @module
 */

import { flashAttend } from '../engines/flash.ts';
import { indexAttend } from '../engines/index-attention.ts';
import {
  blocksOf,
  type PatternCall,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
  residuesOf,
} from '../engines/pattern-call.ts';
import { flag } from '../engines/shapes.ts';
import { everyBatch, gatherTokens } from '../engines/token-order.ts';
import { OptionError } from '../errors.ts';
import type { Pattern } from '../pattern.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { maskedAttend } from './masked.ts';

/** Options of `stridedAttention`. */
export interface StridedAttentionOptions extends PatternOptions {
  /** Keys nearer than this are seen, and every one at a multiple of it. */
  readonly stride: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const STRIDED = 'stridedAttention';

/** Most tokens of a residue class that are attended to as a list. */
const MOST_LISTED = 32;

/** Joins what each token of a short sequence sees of those before it: row t has the first t numbers as its list. */
function joinEarlier(b: Builder, call: PatternCall): void {
  const [sequences, most] = call.q.shape as [number, number];
  const numbers = b.constant(
    Int32Array.from({ length: most }, (_, i) => i),
    [most],
  );
  const lists = {
    indices: numbers.restride([sequences, 1, most, most], [0, 0, 0, 1]),
    counts: numbers.restride([sequences, 1, most], [0, 0, 1]),
  };
  indexAttend(b, { ...call, accumulate: 'join' }, lists);
}

/** Lays out the call: a window, joined with each residue class of tokens as a sequence of its own. */
export function planStrided(b: Builder, inputs: PatternInputs, options: StridedAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, STRIDED, inputs, options, { options: ['stride', 'causal'] });
  const stride = required(STRIDED, 'stride', options.stride, 1);
  const causal = flag(STRIDED, 'causal', options.causal);
  const near = Math.min(stride, sizes.T) - 1;
  b.reusing(() => flashAttend(b, { ...call, window: [near, causal ? 0 : near] }));
  const join = (offset: number, window: readonly [left: number, right: number]) => {
    for (const classes of residuesOf(call, stride, offset)) {
      b.reusing(() => flashAttend(b, { ...classes, window, accumulate: 'join' }));
    }
  };
  if (stride >= sizes.T) return { o: call.o, lse: call.lse };
  if (causal && Math.ceil(sizes.T / stride) <= MOST_LISTED) {
    for (const classes of residuesOf(call, stride)) joinEarlier(b, classes);
  } else {
    join(-1, [-1, 0]);
    if (!causal) join(1, [0, -1]);
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over the keys nearer than `stride` and those at a distance that is a multiple of it: with a stride of about the root of T every
 * token reaches every other in two layers.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: Sparse Transformer (Child 2019); reference implementation openai/sparse_attention, both heads' patterns as one.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await stridedAttention({ q, k, v }, { stride: 128, causal: true })
 */
export function stridedAttention(inputs: PatternInputs, options: StridedAttentionOptions): Promise<PatternResult> {
  return run(STRIDED, inputs, (b) => planStrided(b, inputs, options));
}

/** As `stridedAttention`, to the end before it returns. */
export function stridedAttentionSync(inputs: PatternInputs, options: StridedAttentionOptions): PatternResult {
  return runSync(STRIDED, inputs, (b) => planStrided(b, inputs, options));
}

/** Options of `fixedAttention`. */
export interface FixedAttentionOptions extends PatternOptions {
  /** Tokens of a block. */
  readonly stride: number;
  /** Tokens at the end of each block that all queries see. */
  readonly summary: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const FIXED = 'fixedAttention';

/** Which summary tokens, in the order in which they are gathered, a query sees: those of the blocks before its own, or of all other blocks. */
function otherSummaries(stride: number, summary: number, causal: boolean): Pattern {
  const own = (i: number) => Math.floor(i / stride) * summary;
  return {
    name: `${summary} tokens of other blocks of ${stride}`,
    key: `summaries ${stride} ${summary} ${causal}`,
    visible: (i, n, { Tq, Tk }) => {
      const first = own(i + Tq - Tk);
      return n < first || (!causal && n >= first + summary);
    },
    runs: (i, { Tq, Tk }, add) => {
      const first = own(i + Tq - Tk);
      add(0, first);
      if (!causal) add(first + summary, Tk);
    },
  };
}

/** Lays out the call: blocks as sequences of their own, joined with the summary tokens of the others. */
export function planFixed(b: Builder, inputs: PatternInputs, options: FixedAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, FIXED, inputs, options, { options: ['stride', 'summary', 'causal'] });
  const stride = required(FIXED, 'stride', options.stride, 1);
  const summary = required(FIXED, 'summary', options.summary, 0);
  if (summary > stride) {
    throw new OptionError(`${FIXED}: summary is ${summary}, expected at most the stride of ${stride}`);
  }
  const causal = flag(FIXED, 'causal', options.causal);
  b.reusing(() => flashAttend(b, { ...blocksOf(call, stride), window: [-1, causal ? 0 : -1] }));
  const { B, T } = sizes;
  const tokens: number[] = [];
  // a block's summary is complete before other blocks see it
  for (let t = stride - summary; t < T; ++t) if (t % stride >= stride - summary) tokens.push(t);
  if (tokens.length > 0 && T > stride) {
    const order = everyBatch(b, tokens, B, T);
    const rows = (x: Tensor) => gatherTokens(b, x, order).reshape([B, tokens.length, ...x.shape.slice(2)]);
    const sequences = call.sequences.map((s) => ({ ...s, kLength: tokens.length }));
    b.reusing(() => {
      const others = { ...call, k: rows(call.k), v: rows(call.v), sequences, accumulate: 'join' } as const;
      maskedAttend(b, others, otherSummaries(stride, summary, causal));
    });
  }
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over the query's own block of `stride` tokens and the last `summary` tokens of every block.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: Sparse Transformer (Child 2019); reference implementation openai/sparse_attention, both heads' patterns as one.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await fixedAttention({ q, k, v }, { stride: 128, summary: 8, causal: true })
 */
export function fixedAttention(inputs: PatternInputs, options: FixedAttentionOptions): Promise<PatternResult> {
  return run(FIXED, inputs, (b) => planFixed(b, inputs, options));
}

/** As `fixedAttention`, to the end before it returns. */
export function fixedAttentionSync(inputs: PatternInputs, options: FixedAttentionOptions): PatternResult {
  return runSync(FIXED, inputs, (b) => planFixed(b, inputs, options));
}
