/**
 * Linear attention of second-order features: Based and ReBased.
 *
 * @module
 */
import { quadratic, taylor2 } from '../engines/features.ts';
import type { LinearInputs, LinearOptions, Stepped } from '../engines/linear-operands.ts';
import { expectNames, expectRows, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { type LinearAttnInputs, type LinearAttnResult, planFeatures } from './linear-attn.ts';

/** Options of `based` and `rebased`. */
export interface BasedOptions extends LinearOptions {
  /** Added to the denominator. Default 1e-6. */
  readonly eps?: number;
}

/** Operands of `based` and `rebased`. */
export interface BasedInputs extends LinearInputs {
  /** f32 [N, HV, F]: sum of the features of the keys before the first. Default zeros. */
  readonly initialNormalizer?: Tensor;
}

/** Inputs of `basedStep` and `rebasedStep`. */
export interface BasedStepInputs extends Stepped<LinearInputs> {
  /** f32 [B, HV, F], updated in place. */
  readonly normalizer: Tensor;
}

type Method = 'based' | 'rebased';

/** Lays out either method. */
export function planBased(
  b: Builder,
  op: Method,
  inputs: LinearAttnInputs,
  options: BasedOptions,
  into?: StepTarget,
): LinearAttnResult {
  expectNames(op, 'input', inputs, ['q', 'k', 'v', 'initialState', 'initialNormalizer', 'cuSeqlens']);
  expectNames(op, 'option', options, ['scale', 'eps']);
  const { q, k, ...rest } = inputs;
  const sizes = matchShapes(op, { q, k }, { q: 'B T H K', k: 'B T H K' });
  expectTypes(op, { q, k }, ['f32']);
  expectRows(op, { q, k });
  const scale = finite(op, 'scale', options.scale, sizes.K! ** -0.5, 0);
  const map = op === 'based' ? taylor2 : quadratic;
  const epsilon = finite(op, 'eps', options.eps, 1e-6, 0);
  const operands = { q: map(b, q, { scale }), k: map(b, k, { scale }), ...rest };
  return planFeatures(b, op, operands, { scale: 1 }, { kind: 'add', epsilon }, into);
}

function step(op: Method, inputs: BasedStepInputs, options: BasedOptions): { o: Tensor } {
  const states = { state: 'initialState', normalizer: 'initialNormalizer' };
  const shape = { op, options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planBased(b, op, lifted, options, into));
}

/**
 * Based's linear attention: weights 1 + x + x^2 / 2, x = scale q_t k_j, which is e^x to the second order, over their sum + eps, through
 * 1 + K + K (K + 1) / 2 features (`features.taylor2`); the states are sums over these. A Based layer joins it with a sliding window.
 *
 * Source: Based (Arora 2024); reference implementation fla, naive_parallel_based.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await based({ q, k, v })
 */
export function based(inputs: BasedInputs, options: BasedOptions = {}): Promise<LinearAttnResult> {
  return run('based', inputs, (b) => planBased(b, 'based', inputs, options));
}

/** As `based`, to the end before it returns. */
export function basedSync(inputs: BasedInputs, options: BasedOptions = {}): LinearAttnResult {
  return runSync('based', inputs, (b) => planBased(b, 'based', inputs, options));
}

/**
 * One token of `based`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example basedStep({ q, k, v, state, normalizer, o })
 */
export function basedStep(inputs: BasedStepInputs, options: BasedOptions = {}): { o: Tensor } {
  return step('based', inputs, options);
}

/**
 * ReBased's linear attention: weights (scale q_t k_j)^2 over their sum + eps, through K (K + 1) / 2 features (`features.quadratic`); the
 * layer norm of q and k is a function of its own.
 *
 * Source: ReBased (Aksenov 2024); reference implementation fla, naive_parallel_rebased.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = await rebased({ q, k, v })
 */
export function rebased(inputs: BasedInputs, options: BasedOptions = {}): Promise<LinearAttnResult> {
  return run('rebased', inputs, (b) => planBased(b, 'rebased', inputs, options));
}

/** As `rebased`, to the end before it returns. */
export function rebasedSync(inputs: BasedInputs, options: BasedOptions = {}): LinearAttnResult {
  return runSync('rebased', inputs, (b) => planBased(b, 'rebased', inputs, options));
}

/**
 * One token of `rebased`; `state` and `normalizer` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example rebasedStep({ q, k, v, state, normalizer, o })
 */
export function rebasedStep(inputs: BasedStepInputs, options: BasedOptions = {}): { o: Tensor } {
  return step('rebased', inputs, options);
}
