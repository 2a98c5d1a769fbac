/**
 * Preconditioned delta rules.
 *
 * @module
 */
import { asFloats } from '../engines/copy.ts';
import { delta } from '../engines/delta.ts';
import {
  type DeltaInputs,
  type NormalizingOptions,
  normalization,
  openDelta,
  rowGateAxes,
  strengths,
} from '../engines/delta-operands.ts';
import { l2norm } from '../engines/features.ts';
import type { LinearResult, Stepped } from '../engines/linear-operands.ts';
import { precondition } from '../engines/precondition.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of the preconditioned rules. */
export interface PrecondInputs extends DeltaInputs {
  /** f32: log decay of the state, [B, T, HV] in `precondGatedDeltaRule`, of its rows, [B, T, HV or H, K], in `precondKda`. */
  readonly g: Tensor;
  /** f32 [B, T, H]: log decay of the curvature A. */
  readonly gAtk: Tensor;
  /** f32 [B, T, H], at least 0: strength with which a key's squares enter A. */
  readonly betaAtk: Tensor;
  /** f32 [H]: ln of the curvature at which a key stays as it is, for each head. Default: the option's. */
  readonly logAtkScale?: Tensor;
  /** f32 [N, H, K]: A before the first token. Default zeros. */
  readonly initialAState?: Tensor;
}

/** Options of the preconditioned rules. */
export interface PrecondOptions extends NormalizingOptions {
  /** Largest factor on an element of a key, whose inverse is the smallest; at least 1. Default 1.5. */
  readonly x?: number;
  /** Added to A before its logarithm. Default 1e-6. */
  readonly eps?: number;
  /** ln of the curvature at which a key stays as it is. Default -0.2. */
  readonly logAtkScale?: number;
}

/** Outputs of the preconditioned rules. */
export interface PrecondResult extends LinearResult {
  /** f32 [N, H, K] */
  readonly finalAState: Tensor;
}

/** Operands of their steps. */
export interface PrecondStepInputs extends Omit<Stepped<PrecondInputs>, 'initialAState'> {
  /** f32 [B, H, K]: A, updated in place. */
  readonly aState: Tensor;
}

/** Lays out either rule. */
export function planPrecond(
  b: Builder,
  op: 'precondGatedDeltaRule' | 'precondKda',
  inputs: PrecondInputs,
  options: PrecondOptions,
  into?: StepTarget,
): PrecondResult {
  const own = ['g', 'beta', 'gAtk', 'betaAtk', 'logAtkScale', 'initialAState'];
  expectNames(op, 'input', inputs, ['q', 'k', 'v', ...own, 'initialState', 'cuSeqlens']);
  expectNames(op, 'option', options, ['scale', 'x', 'eps', 'logAtkScale', 'useQkL2norm']);
  const { g, beta, gAtk, betaAtk, logAtkScale, initialAState, ...rest } = inputs;
  if (logAtkScale && options.logAtkScale !== undefined) {
    throw new OptionError(`${op}: logAtkScale was given as an input and as an option. Leave one out.`);
  }
  const gates = {
    g: [g, op === 'precondKda' ? rowGateAxes(g, rest.v) : 'B T HV'],
    beta: [beta, 'B T HV'],
    gAtk: [gAtk, 'B T H'],
    betaAtk: [betaAtk, 'B T H'],
  } as const;
  const { call, sizes } = openDelta(b, op, rest, options, { gates, into });
  const { H, K, N } = sizes;
  matchShapes(op, { logAtkScale }, { logAtkScale: `?${H}` });
  expectTypes(op, { logAtkScale }, ['f32']);
  expectContiguous(op, { logAtkScale });
  const finalAState = carried(b, op, 'initialAState', initialAState, [N, H, K], into);
  const norm = normalization(op, options);
  const unit = (x: Tensor) => (norm === undefined ? x : l2norm(b, asFloats(b, x), { eps: norm }));
  const a = unit(call.k);
  const k = precondition(b, {
    k: a,
    g: gAtk,
    beta: betaAtk,
    center: logAtkScale ?? finite(op, 'logAtkScale', options.logAtkScale, -0.2),
    x: finite(op, 'x', options.x, 1.5, 1),
    eps: finite(op, 'eps', options.eps, 1e-6, 1e-30),
    initial: initialAState,
    final: finalAState,
    sequences: call.sequences,
  });
  delta(b, { ...call, q: unit(call.q), k, a, g, beta: strengths(b, beta) });
  return { o: call.o, finalState: call.final, finalAState };
}

/** How both rules' steps become the sequence form. */
function stepShape(op: string, options: PrecondOptions) {
  return {
    op,
    options,
    timed: ['v', 'q', 'k', 'g', 'beta', 'gAtk', 'betaAtk'],
    states: { state: 'initialState', aState: 'initialAState' },
  };
}

/**
 * The gated delta rule with keys preconditioned by their curvature where they write: A_t = e^gAtk_t A_{t-1} + betaAtk_t k_t^2,
 * M_t = e^(-ln x r / (1 + |r|)) with r = ln(A_t + eps) - logAtkScale, S*_t = e^g_t S_{t-1},
 * S_t = S*_t + (M_t k_t) beta_t (v_t - k_t S*_t), o_t = scale q_t S_t.
 *
 * q, k [B, T, H, K], v [B, T, HV, V], g and beta [B, T, HV], gAtk and betaAtk [B, T, H]; states [N, HV, K, V] and A [N, H, K]. Source:
 * Preconditioned DeltaNet (2026); reference implementation fla, naive_recurrent_precond_gated_delta_rule, which always normalises queries and
 * keys as `useQkL2norm` does here.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalAState } = await precondGatedDeltaRule({ q, k, v, g, beta, gAtk, betaAtk }, { useQkL2norm: true })
 */
export function precondGatedDeltaRule(inputs: PrecondInputs, options: PrecondOptions = {}): Promise<PrecondResult> {
  return run('precondGatedDeltaRule', inputs, (b) => planPrecond(b, 'precondGatedDeltaRule', inputs, options));
}

/** As `precondGatedDeltaRule`, to the end before it returns. */
export function precondGatedDeltaRuleSync(inputs: PrecondInputs, options: PrecondOptions = {}): PrecondResult {
  return runSync('precondGatedDeltaRule', inputs, (b) => planPrecond(b, 'precondGatedDeltaRule', inputs, options));
}

/**
 * One token of `precondGatedDeltaRule`; `state` and `aState` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example precondGatedDeltaRuleStep({ q, k, v, g, beta, gAtk, betaAtk, state, aState, o })
 */
export function precondGatedDeltaRuleStep(inputs: PrecondStepInputs, options: PrecondOptions = {}): { o: Tensor } {
  const op = 'precondGatedDeltaRule';
  return runStep(stepShape(op, options), inputs, (b, lifted, into) => planPrecond(b, op, lifted, options, into));
}

/**
 * As `precondGatedDeltaRule`, with a decay for each row of the state: S*_t = diag(e^g_t) S_{t-1}.
 *
 * q, k [B, T, H, K], v [B, T, HV, V], g [B, T, HV or H, K], beta [B, T, HV], gAtk and betaAtk [B, T, H]; states [N, HV, K, V] and A
 * [N, H, K]. Source: Preconditioned DeltaNet (2026); reference implementation fla, naive_recurrent_precond_kda.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, finalAState } = await precondKda({ q, k, v, g, beta, gAtk, betaAtk })
 */
export function precondKda(inputs: PrecondInputs, options: PrecondOptions = {}): Promise<PrecondResult> {
  return run('precondKda', inputs, (b) => planPrecond(b, 'precondKda', inputs, options));
}

/** As `precondKda`, to the end before it returns. */
export function precondKdaSync(inputs: PrecondInputs, options: PrecondOptions = {}): PrecondResult {
  return runSync('precondKda', inputs, (b) => planPrecond(b, 'precondKda', inputs, options));
}

/**
 * One token of `precondKda`; `state` and `aState` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example precondKdaStep({ q, k, v, g, beta, gAtk, betaAtk, state, aState, o })
 */
export function precondKdaStep(inputs: PrecondStepInputs, options: PrecondOptions = {}): { o: Tensor } {
  const op = 'precondKda';
  return runStep(stepShape(op, options), inputs, (b, lifted, into) => planPrecond(b, op, lifted, options, into));
}
