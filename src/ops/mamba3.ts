/**
 * Mamba-3.
 *
 * @module
 */
import { multiply } from '../engines/binary.ts';
import { pointwise } from '../engines/features.ts';
import { linear } from '../engines/linear.ts';
import { type LinearInputs, openLinear } from '../engines/linear-operands.ts';
import { expectNames } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { trapezoid } from '../engines/trapezoid.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** What each token brings along; a step's tensors have no T axis. */
export interface Mamba3Tokens extends Pick<LinearInputs, 'q' | 'k'> {
  /** [B, T, HV, V]; any storage type. */
  readonly x: Tensor;
  /** f32 [B, T, HV]: step size, after its softplus. */
  readonly dt: Tensor;
  /** f32 [HV] or [B, T, HV], at most 0: the state decays by e^(A dt). */
  readonly A: Tensor;
  /** f32 [B, T, HV] in [0, 1]: what a token counts of its step of the trapezoid; the token before counts the rest. */
  readonly lambda: Tensor;
  /** f32 [B, T, HV, R], 2 R <= K: pair r of q and k turns by pi tanh(angle) dt a token; the other elements stay. */
  readonly angle: Tensor;
  /** f32 [HV]: o += D x. */
  readonly D?: Tensor;
  /** f32 [B, T, HV, V]: o is multiplied by silu(z). */
  readonly z?: Tensor;
}

/** Operands of `mamba3`: q is C and k is B, with norm and bias. */
export interface Mamba3Inputs extends Mamba3Tokens, Pick<LinearInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [N, HV, R]: the `finalAngle` of the tokens before. Default zeros, as for the others. */
  readonly initialAngle?: Tensor;
  /** f32 [N, HV, K]: their `finalK`. */
  readonly initialK?: Tensor;
  /** f32 [N, HV, V]: their `finalX`. */
  readonly initialX?: Tensor;
}

/** Outputs of `mamba3`. */
export interface Mamba3Result {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, HV, K, V] */
  readonly finalState: Tensor;
  /** f32 [N, HV, R]: the angles of the last token, in [0, 2 pi]. */
  readonly finalAngle: Tensor;
  /** f32 [N, HV, K]: the last key, turned. */
  readonly finalK: Tensor;
  /** f32 [N, HV, V]: the last x. */
  readonly finalX: Tensor;
}

/** Operands of `mamba3Step`: those of `mamba3` without the T axis, and states that are updated in place. */
export interface Mamba3StepInputs extends Mamba3Tokens {
  /** f32 [B, HV, K, V] */
  readonly state: Tensor;
  /** f32 [B, HV, R] */
  readonly lastAngle: Tensor;
  /** f32 [B, HV, K] */
  readonly lastK: Tensor;
  /** f32 [B, HV, V] */
  readonly lastX: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'mamba3';
const TOKENS = ['q', 'k', 'x', 'dt', 'A', 'lambda', 'angle', 'D', 'z'];
const STATES = ['initialState', 'initialAngle', 'initialK', 'initialX', 'cuSeqlens'];

/** Lays out the call. */
export function planMamba3(b: Builder, inputs: Mamba3Inputs, options: object, into?: StepTarget): Mamba3Result {
  expectNames(OP, 'input', inputs, [...TOKENS, ...STATES]);
  expectNames(OP, 'option', options, []);
  const { q, k, x, dt, A, lambda, angle, D, z, initialState, initialAngle, initialK, initialX, cuSeqlens } = inputs;
  const gates = {
    dt: [dt, 'B T HV'],
    A: [A, A?.shape?.length === 1 ? 'HV' : 'B T HV'],
    lambda: [lambda, 'B T HV'],
    angle: [angle, 'B T HV R'],
    D: [D, '?HV'],
    z: [z, '?B T HV V'],
  } as const;
  const { sizes, call } = openLinear(
    b,
    OP,
    { q, k, v: x, ...(initialState && { initialState }), ...(cuSeqlens && { cuSeqlens }) },
    { fallbackScale: 1 },
    { names: { v: 'x' }, gates, into },
  );
  const { HV, K, V, N } = sizes;
  const R = angle.shape[3]!;
  if (2 * R > K) {
    throw new ShapeError(`${OP}: angle has ${R} pairs and q ${K} elements a head, expected at most ${K >> 1} pairs`);
  }
  const final = {
    angle: carried(b, OP, 'initialAngle', initialAngle, [N, HV, R], into),
    k: carried(b, OP, 'initialK', initialK, [N, HV, K], into),
    v: carried(b, OP, 'initialX', initialX, [N, HV, V], into),
  };
  const { sequences } = call;
  const initial = { angle: initialAngle, k: initialK, v: initialX };
  const made = trapezoid(b, { q, k, v: x, dt, lambda, a: A, angles: angle, initial, final, sequences });
  const { before, own: scalar, ...operands } = made;
  if (before) {
    const one = { qStart: 0, qLength: 1, kStart: 0, kLength: 1, offset: 0 };
    const tokens = sequences.map((_, batch) => ({ ...one, batch }));
    linear(b, { ...before, scale: 1, initial: call.initial, final: call.final, sequences: tokens });
  }
  linear(b, { ...call, ...operands, own: { scalar, skip: D }, initial: before ? call.final : call.initial });
  if (z) multiply(b, call.o, pointwise(b, 'silu', z), call.o);
  return { o: call.o, finalState: call.final.state, finalAngle: final.angle, finalK: final.k, finalX: final.v };
}

/**
 * Mamba-3 with one input and output a head: S_t = e^(A_t dt_t) (S_{t-1} + (1 - lambda_t) dt_t k'_{t-1} x_{t-1}) + lambda_t dt_t k'_t x_t,
 * o_t = (q'_t S_t + D x_t) silu(z_t), q' and k' being q and k with pair r (elements 2r and 2r + 1) turned by the sum of
 * pi tanh(angle) dt so far. Unscaled.
 *
 * Source: Mamba-3 (2026); reference implementation state-spaces/mamba, mamba3_siso_step_ref.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { o, finalState, finalAngle, finalK, finalX } = await mamba3({ q, k, x, dt, A, lambda, angle, D, z })
 */
export function mamba3(inputs: Mamba3Inputs, options: object = {}): Promise<Mamba3Result> {
  return run(OP, inputs, (b) => planMamba3(b, inputs, options));
}

/** As `mamba3`, to the end before it returns. */
export function mamba3Sync(inputs: Mamba3Inputs, options: object = {}): Mamba3Result {
  return runSync(OP, inputs, (b) => planMamba3(b, inputs, options));
}

/**
 * One token of `mamba3`; `state`, `lastAngle`, `lastK` and `lastX` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example mamba3Step({ q, k, x, dt, A, lambda, angle, state, lastAngle, lastK, lastX, o })
 */
export function mamba3Step(inputs: Mamba3StepInputs, options: object = {}): { o: Tensor } {
  const timed = ['x', 'q', 'k', 'dt', 'lambda', 'angle', 'z', ...(inputs.A?.shape?.length === 1 ? [] : ['A'])];
  const states = {
    state: 'initialState',
    lastAngle: 'initialAngle',
    lastK: 'initialK',
    lastX: 'initialX',
  };
  return runStep({ op: OP, options, timed, states }, inputs, (b, lifted, into) => planMamba3(b, lifted, options, into));
}
