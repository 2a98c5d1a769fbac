/**
 * Recurrences whose transition is diagonal, or the identity, plus low rank.
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import { openDelta } from '../engines/delta-operands.ts';
import type { LinearInputs, LinearOptions, LinearResult, Stepped } from '../engines/linear-operands.ts';
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `iplr`. */
export interface IplrInputs extends LinearInputs {
  /** `[B, T, H, K]`: reads the state before the token. */
  readonly a: Tensor;
  /** `[B, T, H, K]`: where what a reads is added. */
  readonly b: Tensor;
}

/** Operands of `dplr`. */
export interface DplrInputs extends IplrInputs {
  /** f32 [B, T, H, K]: log decay of the state's rows. */
  readonly gk: Tensor;
}

const SHARED = ['q', 'k', 'v', 'a', 'b', 'initialState', 'cuSeqlens'];

/** Lays out either; `gk` is for `dplr` alone. */
function planLowRank(
  b: Builder,
  op: string,
  inputs: IplrInputs & { readonly gk?: Tensor },
  options: LinearOptions,
  gates: Readonly<Record<string, readonly [Tensor | undefined, string]>>,
  into: StepTarget | undefined,
): LinearResult {
  expectNames(op, 'input', inputs, [...SHARED, ...Object.keys(gates)]);
  expectNames(op, 'option', options, ['scale']);
  const { a, b: along, gk, ...rest } = inputs;
  const rows = { a: [a, 'B T H K'], b: [along, 'B T H K'] } as const;
  const { call } = openDelta(b, op, rest, options, { rows, gates, into });
  delta(b, { ...call, a, b: along, g: gk });
  return { o: call.o, finalState: call.final };
}

/** Lays out DPLR. */
export function planDplr(b: Builder, inputs: DplrInputs, options: LinearOptions, into?: StepTarget): LinearResult {
  return planLowRank(b, 'dplr', inputs, options, { gk: [inputs.gk, 'B T H K'] }, into);
}

/** Lays out IPLR. */
export function planIplr(b: Builder, inputs: IplrInputs, options: LinearOptions, into?: StepTarget): LinearResult {
  return planLowRank(b, 'iplr', inputs, options, {}, into);
}

/**
 * Diagonal plus low rank, the recurrence of which the delta rules are cases: S_t = diag(e^gk_t) S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t,
 * o_t = scale q_t S_t.
 *
 * q, k, a, b, gk [B, T, H, K], v [B, T, HV, V]; states [N, HV, K, V]. Source: the generalised delta rule of RWKV-7 (Peng 2025); reference
 * implementation fla, dplr_recurrence.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await dplr({ q, k, v, a, b, gk })
 */
export function dplr(inputs: DplrInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('dplr', inputs, (b) => planDplr(b, inputs, options));
}

/** As `dplr`, to the end before it returns. */
export function dplrSync(inputs: DplrInputs, options: LinearOptions = {}): LinearResult {
  return runSync('dplr', inputs, (b) => planDplr(b, inputs, options));
}

/**
 * One token of `dplr`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example dplrStep({ q, k, v, a, b, gk, state, o })
 */
export function dplrStep(inputs: Stepped<DplrInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'dplr', options, timed: ['v', 'q', 'k', 'a', 'b', 'gk'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planDplr(b, lifted, options, into));
}

/**
 * Identity plus low rank: S_t = S_{t-1} + b_t (a_t S_{t-1}) + k_t v_t, o_t = scale q_t S_t.
 *
 * q, k, a, b [B, T, H, K], v [B, T, HV, V]; states [N, HV, K, V]. Source: reference implementation fla, iplr_recurrence.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await iplr({ q, k, v, a, b })
 */
export function iplr(inputs: IplrInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('iplr', inputs, (b) => planIplr(b, inputs, options));
}

/** As `iplr`, to the end before it returns. */
export function iplrSync(inputs: IplrInputs, options: LinearOptions = {}): LinearResult {
  return runSync('iplr', inputs, (b) => planIplr(b, inputs, options));
}

/**
 * One token of `iplr`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example iplrStep({ q, k, v, a, b, state, o })
 */
export function iplrStep(inputs: Stepped<IplrInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'iplr', options, timed: ['v', 'q', 'k', 'a', 'b'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planIplr(b, lifted, options, into));
}
