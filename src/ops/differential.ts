/**
 * Differential attention.
 *
 * @module
 */
import { expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type AttentionOptions, attend, attentionCall } from './attention.ts';

/** Operands of `differentialAttention`. */
export interface DifferentialAttentionInputs {
  /** [B, Tq, Hq, D] */
  readonly q1: Tensor;
  /** [B, Tk, Hkv, D] */
  readonly k1: Tensor;
  readonly q2: Tensor;
  readonly k2: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [Hq] */
  readonly lambda: Tensor;
}

const OP = 'differentialAttention';

/** Lays out the call. */
export function planDifferential(
  b: Builder,
  inputs: DifferentialAttentionInputs,
  options: AttentionOptions,
): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q1', 'k1', 'q2', 'k2', 'v', 'lambda']);
  const { q1, k1, q2, k2, v, lambda } = inputs;
  const { Hq } = matchShapes<keyof DifferentialAttentionInputs>(
    OP,
    { ...inputs },
    {
      q1: 'B Tq Hq D',
      q2: 'B Tq Hq D',
      k1: 'B Tk Hkv D',
      k2: 'B Tk Hkv D',
      v: 'B Tk Hkv Dv',
      lambda: 'Hq',
    },
  );
  expectTypes(OP, { lambda }, ['f32']);
  const first = attentionCall(b, OP, { q: q1, k: k1, v }, options);
  const second = attentionCall(b, OP, { q: q2, k: k2, v }, options);
  const minus = b.temporary([Hq!]);
  minus.write((lambda.dataSync() as Float32Array).map((x) => -x));
  attend(b, first);
  attend(b, { ...second, o: first.o, outScale: minus, accumulate: true });
  b.drop(second.o, first.lse, second.lse);
  return { o: first.o };
}

/**
 * The difference of two softmax attentions: o = (softmax(q1 k1) - lambda softmax(q2 k2)) v, lambda per head.
 *
 * Source: Differential Transformer (Ye 2024).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await differentialAttention({ q1, k1, q2, k2, v, lambda }, { causal: true })
 */
export function differentialAttention(
  inputs: DifferentialAttentionInputs,
  options: AttentionOptions = {},
): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planDifferential(b, inputs, options));
}

/** As `differentialAttention`, to the end before it returns. */
export function differentialAttentionSync(
  inputs: DifferentialAttentionInputs,
  options: AttentionOptions = {},
): { o: Tensor } {
  return runSync(OP, inputs, (b) => planDifferential(b, inputs, options));
}
