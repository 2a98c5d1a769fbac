/**
 * Rodimus.
 *
 * @module
 */
import { l2norm } from '../engines/features.ts';
import { linear } from '../engines/linear.ts';
import {
  type LinearInputs,
  type LinearOptions,
  type LinearResult,
  openLinear,
  type Stepped,
} from '../engines/linear-operands.ts';
import { expectNames, expectTypes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { RodimusParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rodimus`; k is f32. */
export interface RodimusInputs extends LinearInputs {
  /** f32 [B, T, H, K], above 0 (a softplus): the gate. */
  readonly g: Tensor;
  /** f32 [B, T, H, K], in (0, 1) (a sigmoid): its temperature. */
  readonly tau: Tensor;
}

const OP = 'rodimus';
/** Keys shorter than this are not made longer. */
const LEAST_NORM = 1e-12;

/** Lays out the call. */
export function planRodimus(
  b: Builder,
  inputs: RodimusInputs,
  options: LinearOptions,
  into?: StepTarget,
): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'g', 'tau', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { g, tau, ...rest } = inputs;
  const gates = { g: [g, 'B T H K'], tau: [tau, 'B T H K'] } as const;
  const { call, sizes } = openLinear(b, OP, rest, options, { gates, into });
  expectTypes(OP, { k: rest.k }, ['f32']);
  const { B, T, H, K } = sizes;
  const k = l2norm(b, rest.k, { eps: 0, floor: LEAST_NORM });
  const decay = b.temporary([B, T, H, K]);
  const params = encode(RodimusParams, {
    o: k.address,
    length: T,
    heads: H,
    d: K,
    features: K,
    decay: decay.address,
  });
  encodePlaces(RodimusParams, params, { x: k, gate: g, tau });
  b.dispatch({
    kernel: 'rodimusGates',
    params,
    items: k.size === 0 ? 0 : B * T * H,
    grain: Math.max(1, Math.ceil(2048 / Math.max(1, K))),
    flops: 32 * k.size,
  });
  linear(b, { ...call, k, g: decay });
  return { o: call.o, finalState: call.final.state };
}

/**
 * Rodimus: S_t = diag(e^(-g_t tau_t)) S_{t-1} + (g_t^tau_t k_t / max(|k_t|, 1e-12)) v_t, o_t = scale q_t S_t.
 *
 * Source: Rodimus (He 2024); reference implementation fla, layers/rodimus.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await rodimus({ q, k, v, g, tau })
 */
export function rodimus(inputs: RodimusInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planRodimus(b, inputs, options));
}

/** As `rodimus`, to the end before it returns. */
export function rodimusSync(inputs: RodimusInputs, options: LinearOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planRodimus(b, inputs, options));
}

/**
 * One token of `rodimus`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example rodimusStep({ q, k, v, g, tau, state, o })
 */
export function rodimusStep(inputs: Stepped<RodimusInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'g', 'tau'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRodimus(b, lifted, options, into));
}
