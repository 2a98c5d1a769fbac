/**
 * Kimi Delta Attention.
 *
 * @module
 */
import {
  type DeltaInputs,
  type DeltaOptions,
  type DeltaResult,
  type NormalizingOptions,
  rowGateAxes,
} from '../engines/delta-operands.ts';
import type { Stepped } from '../engines/linear-operands.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { planRule } from './delta-rule.ts';

/** Operands of `kda`. */
export interface KdaInputs extends DeltaInputs {
  /** f32 [B, T, HV, K] or [B, T, H, K]: log decay of the state's rows. */
  readonly g: Tensor;
}

const OP = 'kda';

/** Lays out the call. */
export function planKda(b: Builder, inputs: KdaInputs, options: DeltaOptions, into?: StepTarget): DeltaResult {
  return planRule(b, OP, inputs, options, rowGateAxes(inputs.g, inputs.v), into);
}

/**
 * Kimi Delta Attention, the delta rule with a decay for each row of the state: S*_t = diag(e^g_t) S_{t-1},
 * S_t = S*_t + k_t beta_t (v_t - k_t S*_t), o_t = scale q_t S_t.
 *
 * q, k [B, T, H, K], v [B, T, HV, V], g [B, T, HV or H, K], beta [B, T, HV]; states [N, HV, K, V]. Source: Kimi Linear (2025); reference
 * implementation fla, naive_recurrent_kda.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await kda({ q, k, v, g, beta }, { useQkL2norm: true })
 */
export function kda(inputs: KdaInputs, options: DeltaOptions = {}): Promise<DeltaResult> {
  return run(OP, inputs, (b) => planKda(b, inputs, options));
}

/** As `kda`, to the end before it returns. */
export function kdaSync(inputs: KdaInputs, options: DeltaOptions = {}): DeltaResult {
  return runSync(OP, inputs, (b) => planKda(b, inputs, options));
}

/**
 * One token of `kda`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example kdaStep({ q, k, v, g, beta, state, o })
 */
export function kdaStep(inputs: Stepped<KdaInputs>, options: NormalizingOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'g', 'beta'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planKda(b, lifted, options, into));
}
