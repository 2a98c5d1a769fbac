/**
 * Linear attention re-weighted by the cosine of the distance.
 *
 * @module
 */
import { cosine } from '../engines/features.ts';
import type { LinearInputs } from '../engines/linear-operands.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { planFeatures } from './linear-attn.ts';

/** Operands of `cosformer`. */
export type CosformerInputs = Omit<LinearInputs, 'initialState' | 'cuSeqlens'>;

/** Options of `cosformer`. */
export interface CosformerOptions {
  /** A row sees the keys up to its own. Default true. */
  readonly causal?: boolean;
  /** Least denominator. Default 1e-6. */
  readonly eps?: number;
}

const OP = 'cosformer';

/** Lays out the call. */
export function planCosformer(b: Builder, inputs: CosformerInputs, options: CosformerOptions): { o: Tensor } {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v']);
  expectNames(OP, 'option', options, ['causal', 'eps']);
  const { q, k, v } = inputs;
  matchShapes(OP, { ...inputs }, { q: 'B T H K', k: 'B T H K', v: 'B T HV V' });
  expectTypes(OP, { q, k }, ['f32']);
  expectRows(OP, { q, k });
  const { o, finalState, finalNormalizer } = planFeatures(
    b,
    OP,
    { q: cosine(b, q, { offset: 1 }), k: cosine(b, k, { offset: 1 }), v },
    { scale: 1, causal: options.causal ?? true },
    { kind: 'clamp', epsilon: finite(OP, 'eps', options.eps, 1e-6, 0) },
  );
  b.drop(finalState, finalNormalizer!);
  return { o };
}

/**
 * cosFormer: o_i = sum_j w_ij v_j / max(sum_j w_ij, eps), w_ij = relu(q_i) relu(k_j) cos(pi (i - j) / 2T), through features
 * [relu(x) sin, relu(x) cos] of length 2K.
 *
 * Source: cosFormer (Qin 2022); reference implementation OpenNLPLab.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await cosformer({ q, k, v }, { causal: false })
 */
export function cosformer(inputs: CosformerInputs, options: CosformerOptions = {}): Promise<{ o: Tensor }> {
  return run(OP, inputs, (b) => planCosformer(b, inputs, options));
}

/** As `cosformer`, to the end before it returns. */
export function cosformerSync(inputs: CosformerInputs, options: CosformerOptions = {}): { o: Tensor } {
  return runSync(OP, inputs, (b) => planCosformer(b, inputs, options));
}
