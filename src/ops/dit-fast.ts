/**
 * Window attention with what it misses remembered from an earlier step.
 *
 * @module
 */
import { copyRows } from '../engines/copy.ts';
import { flashAttend } from '../engines/flash.ts';
import { type PatternInputs, type PatternOptions, patternCall, required } from '../engines/pattern-call.ts';
import { expectTypes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `ditFastAttention`. */
export interface DitFastAttentionInputs extends PatternInputs {
  /** f32 [B, T, Hq, Dv]: the residual of an earlier step. Default: this step computes full attention and its residual. */
  readonly residual?: Tensor;
}

/** Options of `ditFastAttention`. */
export interface DitFastAttentionOptions extends PatternOptions {
  /** Keys seen before and after the query's own. */
  readonly window: number;
}

/** Results of `ditFastAttention`. */
export interface DitFastAttentionResult {
  /** f32 [B, T, Hq, Dv] */
  readonly o: Tensor;
  /** f32 [B, T, Hq, Dv]: full attention less window attention, where no residual was given. */
  readonly residual?: Tensor;
}

const OP = 'ditFastAttention';

/** Lays out the call. */
export function planDitFast(
  b: Builder,
  inputs: DitFastAttentionInputs,
  options: DitFastAttentionOptions,
): DitFastAttentionResult {
  const { call, sizes } = patternCall(b, OP, inputs, options, {
    inputs: { residual: '?B T Hq Dv' },
    options: ['window'],
  });
  expectTypes(OP, { residual: inputs.residual }, ['f32']);
  const reach = required(OP, 'window', options.window, 0);
  const { o, lse } = call;
  b.drop(lse);
  const near = { ...call, window: [reach, reach] as const, accumulate: true };
  if (inputs.residual) {
    copyRows(b, inputs.residual, o);
    flashAttend(b, near);
    return { o };
  }
  const residual = b.output(o.shape);
  const minus = b.temporary([sizes.Hq]);
  minus.write(new Float32Array(sizes.Hq).fill(-1));
  flashAttend(b, call);
  copyRows(b, o, residual);
  flashAttend(b, { ...near, o: residual, outScale: minus });
  return { o, residual };
}

/**
 * Bidirectional window attention plus the residual of an earlier step: what full attention then had beyond the window. Without a residual the
 * call computes full attention, and the residual for the steps that follow.
 *
 * Shapes: q [B, T, Hq, D], k [B, T, Hkv, D], v [B, T, Hkv, Dv], residual [B, T, Hq, Dv] -> o [B, T, Hq, Dv], and without a residual
 * that of this step.
 *
 * Source: DiTFastAttn (Yuan 2024); reference implementation thu-nics/DiTFastAttn. The other two of its ways, results shared between steps or
 * between a conditional and an unconditional pass, are results that the caller uses again.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example
 * const first = await ditFastAttention({ q, k, v }, { window: 128 });
 * const { o } = await ditFastAttention({ q, k, v, residual: first.residual }, { window: 128 });
 */
export function ditFastAttention(
  inputs: DitFastAttentionInputs,
  options: DitFastAttentionOptions,
): Promise<DitFastAttentionResult> {
  return run(OP, inputs, (b) => planDitFast(b, inputs, options));
}

/** As `ditFastAttention`, to the end before it returns. */
export function ditFastAttentionSync(
  inputs: DitFastAttentionInputs,
  options: DitFastAttentionOptions,
): DitFastAttentionResult {
  return runSync(OP, inputs, (b) => planDitFast(b, inputs, options));
}
