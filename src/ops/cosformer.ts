/**
 * Linear attention re-weighted by the cosine of the distance.
 *
 * @module
 */
import { cosine } from '../engines/features.ts';
import type { LinearInputs, Stepped } from '../engines/linear-operands.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes, whole } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type LinearAttnResult, planFeatures } from './linear-attn.ts';

/** Operands of `cosformer`; q and k are f32, and the states have 2K rows. */
export interface CosformerInputs extends Omit<LinearInputs, 'cuSeqlens'> {
  /** f32 [N, HV, 2K]: sum of the features of the keys before the first. Default zeros. */
  readonly initialNormalizer?: Tensor;
}

/** Options of `cosformer`. */
export interface CosformerOptions {
  /** A row sees the keys up to its own. Default true. */
  readonly causal?: boolean;
  /** Least denominator. Default 1e-6. */
  readonly eps?: number;
  /** Tokens of the whole sequence at most, by which distances are measured; calls that carry states must agree on it. Default offset + T. */
  readonly maxLength?: number;
  /** Number of tokens before the first. Default 0. */
  readonly offset?: number;
}

/** Inputs of `cosformerStep`. */
export interface CosformerStepInputs extends Omit<Stepped<CosformerInputs>, 'initialNormalizer'> {
  /** f32 [B, HV, 2K], updated in place. */
  readonly normalizer: Tensor;
}

/** Options of `cosformerStep`. */
export interface CosformerStepOptions extends Omit<CosformerOptions, 'causal'> {
  readonly maxLength: number;
  readonly offset: number;
}

const OP = 'cosformer';

/** Lays out the call. */
export function planCosformer(
  b: Builder,
  inputs: CosformerInputs,
  options: CosformerOptions,
  into?: StepTarget,
): LinearAttnResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'initialState', 'initialNormalizer']);
  expectNames(OP, 'option', options, ['causal', 'eps', 'maxLength', 'offset']);
  const { q, k, ...rest } = inputs;
  const { T } = matchShapes(OP, { q, k }, { q: 'B T H K', k: 'B T H K' }) as { T: number };
  expectTypes(OP, { q, k }, ['f32']);
  expectRows(OP, { q, k });
  const offset = whole(OP, 'offset', options.offset, 0, 0);
  const maxLength = whole(OP, 'maxLength', options.maxLength, Math.max(1, offset + T), 1);
  if (offset + T > maxLength) {
    throw new OptionError(
      `${OP}: maxLength is ${maxLength}, expected at least offset + T = ${offset + T}: keys farther away would have negative weights`,
    );
  }
  const place = { offset: offset + 1, maxLength };
  return planFeatures(
    b,
    OP,
    { q: cosine(b, q, place), k: cosine(b, k, place), ...rest },
    { scale: 1, causal: options.causal ?? true },
    { kind: 'clamp', epsilon: finite(OP, 'eps', options.eps, 1e-6, 0) },
    into,
  );
}

/**
 * cosFormer: o_i = sum_j w_ij v_j / max(sum_j w_ij, eps), w_ij = relu(q_i) relu(k_j) cos(pi (i - j) / 2M), through features
 * [relu(x) sin, relu(x) cos] of length 2K; M is `maxLength`.
 *
 * Source: cosFormer (Qin 2022); reference implementation OpenNLPLab.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await cosformer({ q, k, v }, { causal: false })
 */
export function cosformer(inputs: CosformerInputs, options: CosformerOptions = {}): Promise<LinearAttnResult> {
  return run(OP, inputs, (b) => planCosformer(b, inputs, options));
}

/** As `cosformer`, to the end before it returns. */
export function cosformerSync(inputs: CosformerInputs, options: CosformerOptions = {}): LinearAttnResult {
  return runSync(OP, inputs, (b) => planCosformer(b, inputs, options));
}

/**
 * Token number `offset` of `cosformer`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example cosformerStep({ q, k, v, state, normalizer, o }, { maxLength: 4096, offset: t })
 */
export function cosformerStep(inputs: CosformerStepInputs, options: CosformerStepOptions): { o: Tensor } {
  for (const name of ['maxLength', 'offset'] as const) {
    if (options?.[name] === undefined) throw new OptionError(`${OP}: a step needs the option ${name}`);
  }
  const states = { state: 'initialState', normalizer: 'initialNormalizer' };
  const shape = { op: OP, options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planCosformer(b, lifted, options, into));
}
