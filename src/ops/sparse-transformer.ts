/**
 * The factorised patterns of the Sparse Transformer.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import {
  flag,
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
  residuesOf,
} from '../engines/pattern-call.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';

/** Options of `stridedAttention`. */
export interface StridedAttentionOptions extends PatternOptions {
  /** Keys nearer than this are seen, and every one at a multiple of it. */
  readonly stride: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const STRIDED = 'stridedAttention';

/** Lays out the call: a window, joined with each residue class of tokens as a sequence of its own. */
export function planStrided(b: Builder, inputs: PatternInputs, options: StridedAttentionOptions): PatternResult {
  const { call, sizes } = patternCall(b, STRIDED, inputs, options, { options: ['stride', 'causal'] });
  const stride = required(STRIDED, 'stride', options.stride, 1);
  const causal = flag(STRIDED, 'causal', options.causal);
  const near = Math.min(stride, sizes.T) - 1;
  flashAttend(b, { ...call, window: [near, causal ? 0 : near] });
  const join = (offset: number, window: readonly [left: number, right: number]) => {
    for (const classes of residuesOf(call, stride, offset)) {
      flashAttend(b, { ...classes, window, accumulate: 'join' });
    }
  };
  if (stride < sizes.T) {
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
