/**
 * The delta rule, without and with a decay.
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import {
  type DeltaInputs,
  type DeltaOptions,
  type DeltaResult,
  type NormalizingOptions,
  normalization,
  openDelta,
  snapshotsOf,
  strengths,
} from '../engines/delta-operands.ts';
import type { LinearNames, Stepped } from '../engines/linear-operands.ts';
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `gatedDeltaRule`. */
export interface GatedDeltaRuleInputs extends DeltaInputs {
  /** f32 [B, T, HV]: log decay of each value head's state. */
  readonly g: Tensor;
}

const SHARED = ['q', 'k', 'v', 'beta', 'initialState', 'cuSeqlens'];
const OPTIONS = ['scale', 'useQkL2norm'];

/**
 * Lays out a delta rule with one strength a token and a decay of these axes, or none.
 *
 * @throws ShapeError, DTypeError, OptionError
 */
export function planRule(
  b: Builder,
  op: string,
  inputs: DeltaInputs & { readonly g?: Tensor },
  options: DeltaOptions,
  axes: string | undefined,
  into?: StepTarget,
): DeltaResult {
  expectNames(op, 'input', inputs, axes ? [...SHARED, 'g'] : SHARED);
  expectNames(op, 'option', options, into ? OPTIONS : [...OPTIONS, 'snapshotEvery']);
  const { beta, g } = inputs;
  const gates: LinearNames['gates'] = { ...(axes && { g: [g, axes] }), beta: [beta, 'B T HV'] };
  const { call, sizes } = openDelta(b, op, inputs, options, { gates, into });
  const l2norm = normalization(op, options);
  const { kept, ...snapshots } = snapshotsOf(b, op, options, sizes, call.sequences);
  delta(b, { ...call, ...snapshots, g, beta: strengths(b, beta), l2norm });
  return { o: call.o, finalState: call.final, ...kept };
}

/** Lays out the delta rule. */
export function planDeltaRule(b: Builder, inputs: DeltaInputs, options: DeltaOptions, into?: StepTarget): DeltaResult {
  return planRule(b, 'deltaRule', inputs, options, undefined, into);
}

/** Lays out the gated delta rule. */
export function planGatedDeltaRule(
  b: Builder,
  inputs: GatedDeltaRuleInputs,
  options: DeltaOptions,
  into?: StepTarget,
): DeltaResult {
  return planRule(b, 'gatedDeltaRule', inputs, options, 'B T HV', into);
}

/**
 * The delta rule: S_t = S_{t-1} + k_t beta_t (v_t - k_t S_{t-1}), o_t = scale q_t S_t: what the key's direction held is replaced, not
 * added to.
 *
 * q, k [B, T, H, K], v [B, T, HV, V], beta [B, T, HV]; states [N, HV, K, V]. Keys should have a length of at most 1 (see `useQkL2norm`), or
 * the state may grow without end. Source: DeltaNet (Schlag 2021, Yang 2024); reference implementation fla, delta_rule_recurrence.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await deltaRule({ q, k, v, beta }, { useQkL2norm: true })
 */
export function deltaRule(inputs: DeltaInputs, options: DeltaOptions = {}): Promise<DeltaResult> {
  return run('deltaRule', inputs, (b) => planDeltaRule(b, inputs, options));
}

/** As `deltaRule`, to the end before it returns. */
export function deltaRuleSync(inputs: DeltaInputs, options: DeltaOptions = {}): DeltaResult {
  return runSync('deltaRule', inputs, (b) => planDeltaRule(b, inputs, options));
}

/**
 * One token of `deltaRule`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example deltaRuleStep({ q, k, v, beta, state, o })
 */
export function deltaRuleStep(inputs: Stepped<DeltaInputs>, options: NormalizingOptions = {}): { o: Tensor } {
  const shape = { op: 'deltaRule', options, timed: ['v', 'q', 'k', 'beta'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planDeltaRule(b, lifted, options, into));
}

/**
 * The gated delta rule: S*_t = e^g_t S_{t-1}, S_t = S*_t + k_t beta_t (v_t - k_t S*_t), o_t = scale q_t S_t.
 *
 * q, k [B, T, H, K], v [B, T, HV, V], g and beta [B, T, HV]; states [N, HV, K, V]. Source: Gated Delta Networks (Yang 2024), Qwen3-Next;
 * reference implementation fla, naive_recurrent_gated_delta_rule.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, snapshots } = await gatedDeltaRule({ q, k, v, g, beta }, { useQkL2norm: true, snapshotEvery: 4 })
 */
export function gatedDeltaRule(inputs: GatedDeltaRuleInputs, options: DeltaOptions = {}): Promise<DeltaResult> {
  return run('gatedDeltaRule', inputs, (b) => planGatedDeltaRule(b, inputs, options));
}

/** As `gatedDeltaRule`, to the end before it returns. */
export function gatedDeltaRuleSync(inputs: GatedDeltaRuleInputs, options: DeltaOptions = {}): DeltaResult {
  return runSync('gatedDeltaRule', inputs, (b) => planGatedDeltaRule(b, inputs, options));
}

/**
 * One token of `gatedDeltaRule`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example gatedDeltaRuleStep({ q, k, v, g, beta, state, o }, { useQkL2norm: true })
 */
export function gatedDeltaRuleStep(
  inputs: Stepped<GatedDeltaRuleInputs>,
  options: NormalizingOptions = {},
): { o: Tensor } {
  const shape = {
    op: 'gatedDeltaRule',
    options,
    timed: ['v', 'q', 'k', 'g', 'beta'],
    states: { state: 'initialState' },
  };
  return runStep(shape, inputs, (b, lifted, into) => planGatedDeltaRule(b, lifted, options, into));
}
