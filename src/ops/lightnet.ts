/**
 * LightNet.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import {
  type LinearInputs,
  type LinearOptions,
  type LinearResult,
  openLinear,
  type Stepped,
} from '../engines/linear-operands.ts';
import { runningSoftmax } from '../engines/running-softmax.ts';
import { expectNames, expectTypes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `lightnet`. */
export interface LightnetInputs extends LinearInputs {
  /** f32 [N, H, K]: ln of the weights that each row of the state holds. Default -Infinity: an empty state. */
  readonly initialZ?: Tensor;
}

/** Outputs of `lightnet`. */
export interface LightnetResult extends LinearResult {
  /** f32 [N, H, K] */
  readonly z: Tensor;
}

/** Inputs of `lightnetStep`. */
export interface LightnetStepInputs extends Omit<Stepped<LightnetInputs>, 'initialZ'> {
  /** f32 [B, H, K], updated in place. */
  readonly z: Tensor;
}

const OP = 'lightnet';

/** Lays out the call. */
export function planLightnet(
  b: Builder,
  inputs: LightnetInputs,
  options: LinearOptions,
  into?: StepTarget,
): LightnetResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'initialState', 'initialZ', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { initialZ, ...rest } = inputs;
  const { call, sizes } = openLinear(b, OP, rest, options, { into });
  expectTypes(OP, { k: rest.k }, ['f32']);
  const z = carried(b, OP, 'initialZ', initialZ, [sizes.N, sizes.H, sizes.K], into);
  const { g, s: k } = runningSoftmax(b, { x: rest.k, sequences: call.sequences, initial: initialZ, final: z });
  linear(b, { ...call, k, g, linearGates: true });
  return { o: call.o, finalState: call.final.state, z };
}

/**
 * LightNet: gated linear attention whose state holds running softmax averages: S_t = diag(e^(z_{t-1} - z_t)) S_{t-1} + e^(k_t - z_t) v_t,
 * z_t = ln sum_{s <= t} e^k_s, o_t = scale q_t S_t.
 *
 * Source: You Only Scan Once (Qin 2024); reference implementation fla, layers/lightnet.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState, z } = await lightnet({ q, k, v })
 */
export function lightnet(inputs: LightnetInputs, options: LinearOptions = {}): Promise<LightnetResult> {
  return run(OP, inputs, (b) => planLightnet(b, inputs, options));
}

/** As `lightnet`, to the end before it returns. */
export function lightnetSync(inputs: LightnetInputs, options: LinearOptions = {}): LightnetResult {
  return runSync(OP, inputs, (b) => planLightnet(b, inputs, options));
}

/**
 * One token of `lightnet`; `state` and `z` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example lightnetStep({ q, k, v, state, z, o })
 */
export function lightnetStep(inputs: LightnetStepInputs, options: LinearOptions = {}): { o: Tensor } {
  const states = { state: 'initialState', z: 'initialZ' };
  const shape = { op: OP, options, timed: ['v', 'q', 'k'], states };
  return runStep(shape, inputs, (b, lifted, into) => planLightnet(b, lifted, options, into));
}
