/**
 * Dilated windows.
 *
 * @module
 */
import { flashAttend } from '../engines/flash.ts';
import {
  type PatternInputs,
  type PatternOptions,
  type PatternResult,
  patternCall,
  required,
  residuesOf,
} from '../engines/pattern-call.ts';
import { flag, whole } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';

/** Options of `dilatedAttention`. */
export interface DilatedAttentionOptions extends PatternOptions {
  /** Keys to each side, the query's own counted. */
  readonly window: number;
  /** Distance between the keys of the window. Default 1. */
  readonly dilation?: number;
  /** Only keys up to the query's own. Default false. */
  readonly causal?: boolean;
}

const OP = 'dilatedAttention';

/** Lays out the call: a window over each residue class of tokens. */
export function planDilated(b: Builder, inputs: PatternInputs, options: DilatedAttentionOptions): PatternResult {
  const { call } = patternCall(b, OP, inputs, options, { options: ['window', 'dilation', 'causal'] });
  const reach = required(OP, 'window', options.window, 1) - 1;
  const dilation = whole(OP, 'dilation', options.dilation, 1, 1);
  const window = [reach, flag(OP, 'causal', options.causal) ? 0 : reach] as const;
  for (const classes of residuesOf(call, dilation)) flashAttend(b, { ...classes, window });
  return { o: call.o, lse: call.lse };
}

/**
 * Attention over every `dilation`-th key, `window` of them to each side: |i - j| < window * dilation.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv] -> o [B, T, Hq, Dv], lse [B, T, Hq].
 *
 * Source: the dilated windows of Longformer (Beltagy 2020) and of Dilated neighborhood attention (Hassani 2022).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await dilatedAttention({ q, k, v }, { window: 64, dilation: 4, causal: true })
 */
export function dilatedAttention(inputs: PatternInputs, options: DilatedAttentionOptions): Promise<PatternResult> {
  return run(OP, inputs, (b) => planDilated(b, inputs, options));
}

/** As `dilatedAttention`, to the end before it returns. */
export function dilatedAttentionSync(inputs: PatternInputs, options: DilatedAttentionOptions): PatternResult {
  return runSync(OP, inputs, (b) => planDilated(b, inputs, options));
}
