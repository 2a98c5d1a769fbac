/**
 * Gated DeltaNet 2.
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import { openDelta, rowGateAxes } from '../engines/delta-operands.ts';
import type { LinearInputs, LinearOptions, LinearResult, Stepped } from '../engines/linear-operands.ts';
import { rowProducts } from '../engines/row-products.ts';
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `gdn2`. */
export interface Gdn2Inputs extends LinearInputs {
  /** f32 [B, T, HV, K] or [B, T, H, K]: log decay of the state's rows. */
  readonly g: Tensor;
  /** f32 [B, T, H, K]: how much of the key erases. */
  readonly b: Tensor;
  /** f32 [B, T, HV, V]: how much of the value is written. */
  readonly w: Tensor;
}

const OP = 'gdn2';

/** Lays out the call. */
export function planGdn2(b: Builder, inputs: Gdn2Inputs, options: LinearOptions, into?: StepTarget): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'g', 'b', 'w', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { g, b: erase, w, ...rest } = inputs;
  const gates = { g: [g, rowGateAxes(g, rest.v)], b: [erase, 'B T H K'], w: [w, 'B T HV V'] } as const;
  const { call } = openDelta(b, OP, rest, options, { gates, into });
  delta(b, { ...call, g, a: rowProducts(b, call.k, erase), v: rowProducts(b, call.v, w) });
  return { o: call.o, finalState: call.final };
}

/**
 * Gated DeltaNet 2, the delta rule with gates of their own for what is erased and written: S*_t = diag(e^g_t) S_{t-1},
 * S_t = S*_t + k_t (w_t v_t - (b_t k_t) S*_t), o_t = scale q_t S_t.
 *
 * q, k, b [B, T, H, K], v, w [B, T, HV, V], g [B, T, HV or H, K]; states [N, HV, K, V]. Source: Gated DeltaNet-2 (2026); reference
 * implementation fla, naive_recurrent_gdn2.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await gdn2({ q, k, v, g, b, w })
 */
export function gdn2(inputs: Gdn2Inputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planGdn2(b, inputs, options));
}

/** As `gdn2`, to the end before it returns. */
export function gdn2Sync(inputs: Gdn2Inputs, options: LinearOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planGdn2(b, inputs, options));
}

/**
 * One token of `gdn2`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example gdn2Step({ q, k, v, g, b, w, state, o })
 */
export function gdn2Step(inputs: Stepped<Gdn2Inputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'g', 'b', 'w'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planGdn2(b, lifted, options, into));
}
