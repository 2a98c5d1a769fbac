/**
 * Linear attention without gates.
 *
 * @module
 */
import { linear, type Normalizer, readState } from '../engines/linear.ts';
import {
  type LinearInputs,
  type LinearOptions,
  type LinearResult,
  openLinear,
  type Stepped,
} from '../engines/linear-operands.ts';
import { expectNames, finite } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `linearAttn`. */
export interface LinearAttnInputs extends LinearInputs {
  /** f32 [N, HV, K]: sum of the keys before the first, with `normalize`. Default zeros. */
  readonly initialNormalizer?: Tensor;
}

/** Options of `linearAttn`. */
export interface LinearAttnOptions extends LinearOptions {
  /** Divide each output by scale q_t sum k + eps. Default false. */
  readonly normalize?: boolean;
  /** Default 1e-10. */
  readonly eps?: number;
  /** A row sees the keys up to its own; otherwise all of its sequence. Default true. */
  readonly causal?: boolean;
}

/** Outputs of `linearAttn`. */
export interface LinearAttnResult extends LinearResult {
  /** f32 [N, HV, K]: sum of all keys, with `normalize`. */
  readonly finalNormalizer?: Tensor;
}

/** Lays out linear attention of features that are already made, for the methods that differ only in these. */
export function planFeatures(
  b: Builder,
  op: string,
  inputs: LinearAttnInputs,
  options: LinearOptions & { readonly fallbackScale?: number; readonly causal?: boolean },
  normalizer: Normalizer | undefined,
  into?: StepTarget,
): LinearAttnResult {
  const { call, sizes } = openLinear(b, op, inputs, options, { into });
  const { initialNormalizer } = inputs;
  const shape = [sizes.N, sizes.HV, sizes.K];
  const z = normalizer && carried(b, op, 'initialNormalizer', initialNormalizer, shape, into);
  const final = { ...call.final, z };
  const whole = { ...call, final, initial: { ...call.initial, z: initialNormalizer }, normalizer };
  if (options.causal ?? true) {
    linear(b, whole);
  } else {
    linear(b, { ...whole, q: undefined, o: undefined });
    readState(b, { ...whole, initial: final });
  }
  return { o: call.o, finalState: final.state, ...(z && { finalNormalizer: z }) };
}

/** Lays out linear attention. */
export function planLinearAttn(
  b: Builder,
  inputs: LinearAttnInputs,
  options: LinearAttnOptions,
  into?: StepTarget,
): LinearAttnResult {
  const op = 'linearAttn';
  expectNames(op, 'input', inputs, ['q', 'k', 'v', 'initialState', 'initialNormalizer', 'cuSeqlens']);
  expectNames(op, 'option', options, ['scale', 'normalize', 'eps', 'causal']);
  const epsilon = finite(op, 'eps', options.eps, 1e-10, 0);
  const normalizer = options.normalize ? ({ kind: 'add', epsilon } as const) : undefined;
  return planFeatures(b, op, inputs, options, normalizer, into);
}

/**
 * Linear attention: S_t = S_{t-1} + k_t v_t, o_t = scale q_t S_t, divided by scale q_t sum_{s <= t} k_s + eps with `normalize`;
 * with `causal: false` every row reads the sums over its whole sequence. Feature maps are functions of their own (`features`).
 *
 * Source: Katharopoulos 2020; reference implementation fla, naive_recurrent_linear_attn.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await linearAttn({ q, k, v }, { normalize: true })
 */
export function linearAttn(inputs: LinearAttnInputs, options: LinearAttnOptions = {}): Promise<LinearAttnResult> {
  return run('linearAttn', inputs, (b) => planLinearAttn(b, inputs, options));
}

/** As `linearAttn`, to the end before it returns. */
export function linearAttnSync(inputs: LinearAttnInputs, options: LinearAttnOptions = {}): LinearAttnResult {
  return runSync('linearAttn', inputs, (b) => planLinearAttn(b, inputs, options));
}

/** Inputs of `linearAttnStep`. */
export interface LinearAttnStepInputs extends Omit<Stepped<LinearAttnInputs>, 'initialNormalizer'> {
  /** f32 [B, HV, K], updated in place; needed with `normalize`. */
  readonly normalizer?: Tensor;
}

/**
 * One token of `linearAttn`; `state` (and `normalizer`) are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example linearAttnStep({ q, k, v, state, o })
 */
export function linearAttnStep(
  inputs: LinearAttnStepInputs,
  options: Omit<LinearAttnOptions, 'causal'> = {},
): { o: Tensor } {
  const states = { state: 'initialState', ...(options.normalize && { normalizer: 'initialNormalizer' }) };
  const shape = { op: 'linearAttn', options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planLinearAttn(b, lifted, options, into));
}
