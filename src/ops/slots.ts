/**
 * Attention over a fixed number of memory slots: GSA and ABC.
 *
 * @module
 */
import { softmax } from '../engines/features.ts';
import { linear } from '../engines/linear.ts';
import { type LinearInputs, type LinearOptions, openOperands, stateOf } from '../engines/linear-operands.ts';
import { runningSoftmax } from '../engines/running-softmax.ts';
import { expectNames } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands that `gsa` and `abc` share. */
export interface SlotInputs extends Omit<LinearInputs, 'initialState'> {
  /** f32 [B, T, H, M]: what a token writes to each of M slots; in `abc` its logarithm. */
  readonly s: Tensor;
  /** f32 [N, H, K, M] and [N, HV, M, V]: the slots' keys and values. Default zeros. */
  readonly initialHk?: Tensor;
  readonly initialHv?: Tensor;
}

/** Operands of `gsa`. */
export interface GsaInputs extends SlotInputs {
  /** f32 [B, T, H, M]: log decay of each slot. */
  readonly g: Tensor;
}

/** Operands of `abc`. */
export interface AbcInputs extends SlotInputs {
  /** f32 [N, H, M]: ln of the weights that each slot holds. Default -Infinity: empty. */
  readonly initialZ?: Tensor;
}

/** Outputs of `gsa`. */
export interface GsaResult {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, H, K, M] */
  readonly hk: Tensor;
  /** f32 [N, HV, M, V] */
  readonly hv: Tensor;
}

/** Outputs of `abc`. */
export interface AbcResult extends GsaResult {
  /** f32 [N, H, M] */
  readonly z: Tensor;
}

/** Inputs of `gsaStep`: those of `gsa` without the time axis, with the slots updated in place. */
export interface GsaStepInputs extends Omit<GsaInputs, 'initialHk' | 'initialHv' | 'cuSeqlens'> {
  readonly hk: Tensor;
  readonly hv: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

/** Inputs of `abcStep`, likewise. */
export interface AbcStepInputs extends Omit<AbcInputs, 'initialHk' | 'initialHv' | 'initialZ' | 'cuSeqlens'> {
  readonly hk: Tensor;
  readonly hv: Tensor;
  readonly z: Tensor;
  readonly o?: Tensor;
}

const SHARED = ['q', 'k', 'v', 's', 'initialHk', 'initialHv', 'cuSeqlens'];

/** Two passes of gated linear attention with a softmax over the slots between. */
function planSlots(
  b: Builder,
  op: 'gsa' | 'abc',
  inputs: SlotInputs,
  options: LinearOptions,
  gateInputs: Readonly<Record<string, readonly [Tensor | undefined, string]>>,
  gatesOf: (
    sizes: { N: number; H: number; M: number },
    open: ReturnType<typeof openOperands>,
  ) => { g: Tensor; s: Tensor },
  into: StepTarget | undefined,
): GsaResult {
  expectNames(op, 'option', options, ['scale']);
  const { s: slots, initialHk, initialHv, ...rest } = inputs;
  const open = openOperands(b, op, rest, options, { gates: { s: [slots, 'B T H M'], ...gateInputs }, into });
  const { call, sizes } = open;
  const { B, T, H, HV, K, V, N } = sizes;
  const M = slots.shape[3]!;
  const keys = stateOf(b, op, 'initialHk', initialHk, [N, H, K, M], into);
  const values = stateOf(b, op, 'initialHv', initialHv, [N, HV, M, V], into);
  const { g, s } = gatesOf({ N, H, M }, open);
  const scores = b.temporary([B, T, H, M]);
  const linearGates = op === 'abc';
  linear(b, { ...call, ...keys, v: s, gv: g, linearGates, o: scores });
  const p = softmax(b, scores);
  linear(b, { ...call, ...values, q: p, k: s, g, linearGates, scale: 1 });
  return { o: call.o, hk: keys.final.state, hv: values.final.state };
}

/** Lays out GSA. */
export function planGsa(b: Builder, inputs: GsaInputs, options: LinearOptions, into?: StepTarget): GsaResult {
  expectNames('gsa', 'input', inputs, [...SHARED, 'g']);
  const { g, ...rest } = inputs;
  return planSlots(b, 'gsa', rest, options, { g: [g, 'B T H M'] }, () => ({ g, s: rest.s }), into);
}

/** Lays out ABC. */
export function planAbc(b: Builder, inputs: AbcInputs, options: LinearOptions, into?: StepTarget): AbcResult {
  expectNames('abc', 'input', inputs, [...SHARED, 'initialZ']);
  const { initialZ, ...rest } = inputs;
  let z: Tensor | undefined;
  const result = planSlots(
    b,
    'abc',
    rest,
    options,
    {},
    ({ N, H, M }, { call }) => {
      z = carried(b, 'abc', 'initialZ', initialZ, [N, H, M], into);
      return runningSoftmax(b, { x: rest.s, sequences: call.sequences, initial: initialZ, final: z });
    },
    into,
  );
  return { ...result, z: z! };
}

/**
 * Gated slot attention: hk_t = hk_{t-1} diag(e^g_t) + k_t s_t, p_t = softmax(scale q_t hk_t), hv_t = diag(e^g_t) hv_{t-1} + s_t v_t,
 * o_t = p_t hv_t: softmax attention over M slots.
 *
 * Source: GSA (Zhang 2024); reference implementation fla, naive_recurrent_gsa.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, hk, hv } = await gsa({ q, k, v, s, g })
 */
export function gsa(inputs: GsaInputs, options: LinearOptions = {}): Promise<GsaResult> {
  return run('gsa', inputs, (b) => planGsa(b, inputs, options));
}

/** As `gsa`, to the end before it returns. */
export function gsaSync(inputs: GsaInputs, options: LinearOptions = {}): GsaResult {
  return runSync('gsa', inputs, (b) => planGsa(b, inputs, options));
}

/**
 * One token of `gsa`; `hk` and `hv` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example gsaStep({ q, k, v, s, g, hk, hv, o })
 */
export function gsaStep(inputs: GsaStepInputs, options: LinearOptions = {}): { o: Tensor } {
  const states = { hk: 'initialHk', hv: 'initialHv' };
  const shape = { op: 'gsa', options, timed: ['v', 'q', 'k', 's', 'g'], states };
  return runStep(shape, inputs, (b, lifted, into) => planGsa(b, lifted, options, into));
}

/**
 * Attention with bounded memory control: `gsa` whose slots hold running softmax averages, e^(s_t - z_t) written and e^(z_{t-1} - z_t)
 * kept, z the running ln sum e^s.
 *
 * Source: ABC (Peng 2022); reference implementation fla, naive_recurrent_abc.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, hk, hv, z } = await abc({ q, k, v, s })
 */
export function abc(inputs: AbcInputs, options: LinearOptions = {}): Promise<AbcResult> {
  return run('abc', inputs, (b) => planAbc(b, inputs, options));
}

/** As `abc`, to the end before it returns. */
export function abcSync(inputs: AbcInputs, options: LinearOptions = {}): AbcResult {
  return runSync('abc', inputs, (b) => planAbc(b, inputs, options));
}

/**
 * One token of `abc`; `hk`, `hv` and `z` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example abcStep({ q, k, v, s, hk, hv, z, o })
 */
export function abcStep(inputs: AbcStepInputs, options: LinearOptions = {}): { o: Tensor } {
  const states = { hk: 'initialHk', hv: 'initialHv', z: 'initialZ' };
  const shape = { op: 'abc', options, timed: ['v', 'q', 'k', 's'], states };
  return runStep(shape, inputs, (b, lifted, into) => planAbc(b, lifted, options, into));
}
