/**
 * Mamba-3.
 *
 * @module
 */
import { linear } from '../engines/linear.ts';
import { carried, type LinearInputs, openLinear } from '../engines/linear-operands.ts';
import { expectNames, expectRows, expectTypes, matchShapes } from '../engines/shapes.ts';
import { siluGate } from '../engines/silu-gate.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { trapezoid } from '../engines/trapezoid.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** What each token brings along; a step's tensors have no T axis. */
export interface Mamba3Tokens extends Pick<LinearInputs, 'q' | 'k' | 'v'> {
  /** f32 [B, T, HV]: step size, after its softplus. */
  readonly dt: Tensor;
  /** f32 [HV] or [B, T, HV], at most 0: the state decays by e^(A dt). */
  readonly A: Tensor;
  /** f32 [B, T, HV] in [0, 1]: what a token counts of its step of the trapezoid; the token before counts the rest. */
  readonly lambda: Tensor;
  /** f32 [B, T, HV, R], 2 R <= K: pair r of q and k turns by pi tanh(angles) dt a token; the other elements stay. */
  readonly angles: Tensor;
  /** f32 [HV]: o += D v. */
  readonly D?: Tensor;
  /** [B, T, HV, V]: o is multiplied by silu(z). */
  readonly z?: Tensor;
}

/** Operands of `mamba3`: q is C and k is B, with norm and bias. */
export interface Mamba3Inputs extends Mamba3Tokens, Pick<LinearInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [N, HV, R]: the `angle` of the tokens before. Default zeros, as for the others. */
  readonly initialAngle?: Tensor;
  /** f32 [N, HV, K]: their `kPrev`. */
  readonly initialKPrev?: Tensor;
  /** f32 [N, HV, V]: their `vPrev`. */
  readonly initialVPrev?: Tensor;
}

/** Outputs of `mamba3`. */
export interface Mamba3Result {
  /** f32 [B, T, HV, V] */
  readonly o: Tensor;
  /** f32 [N, HV, K, V] */
  readonly finalState: Tensor;
  /** f32 [N, HV, R]: the angles of the last token, in [0, 2 pi]. */
  readonly angle: Tensor;
  /** f32 [N, HV, K]: the last key, turned. */
  readonly kPrev: Tensor;
  /** f32 [N, HV, V]: the last value. */
  readonly vPrev: Tensor;
}

/** Operands of `mamba3Step`: those of `mamba3` without the T axis, and states that are updated in place. */
export interface Mamba3StepInputs extends Mamba3Tokens {
  /** f32 [B, HV, K, V] */
  readonly state: Tensor;
  /** f32 [B, HV, R] */
  readonly angle: Tensor;
  /** f32 [B, HV, K] */
  readonly kPrev: Tensor;
  /** f32 [B, HV, V] */
  readonly vPrev: Tensor;
  /** f32 [B, HV, V] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'mamba3';
const TOKENS = ['q', 'k', 'v', 'dt', 'A', 'lambda', 'angles', 'D', 'z'];
const STATES = ['initialState', 'initialAngle', 'initialKPrev', 'initialVPrev', 'cuSeqlens'];

/** Lays out the call. */
export function planMamba3(b: Builder, inputs: Mamba3Inputs, options: object, into?: StepTarget): Mamba3Result {
  expectNames(OP, 'input', inputs, [...TOKENS, ...STATES]);
  expectNames(OP, 'option', options, []);
  const { q, k, v, dt, A, lambda, angles, D, z, initialAngle, initialKPrev, initialVPrev } = inputs;
  const gates = {
    dt: [dt, 'B T HV'],
    A: [A, A?.shape?.length === 1 ? 'HV' : 'B T HV'],
    lambda: [lambda, 'B T HV'],
    angles: [angles, 'B T HV R'],
    D: [D, '?HV'],
  } as const;
  const { sizes, call } = openLinear(b, OP, inputs, { fallbackScale: 1 }, { gates, into });
  const { B, T, HV, K, V, N } = sizes;
  const R = angles.shape[3]!;
  if (2 * R > K) {
    throw new ShapeError(`${OP}: angles has ${R} pairs and q ${K} elements a head, expected at most ${K >> 1} pairs`);
  }
  if (z) {
    matchShapes(OP, { z }, { z: `${B} ${T} ${HV} ${V}` });
    expectTypes(OP, { z }, ['f32', 'f16', 'bf16']);
    expectRows(OP, { z });
  }
  const final = {
    angle: carried(b, OP, 'initialAngle', initialAngle, [N, HV, R], into),
    k: carried(b, OP, 'initialKPrev', initialKPrev, [N, HV, K], into),
    v: carried(b, OP, 'initialVPrev', initialVPrev, [N, HV, V], into),
  };
  const { sequences } = call;
  const initial = { angle: initialAngle, k: initialKPrev, v: initialVPrev };
  const made = trapezoid(b, { q, k, v, dt, lambda, a: A, angles, initial, final, sequences });
  const { before, own: scalar, ...operands } = made;
  if (before) {
    const one = { qStart: 0, qLength: 1, kStart: 0, kLength: 1, offset: 0 };
    const tokens = sequences.map((_, batch) => ({ ...one, batch }));
    linear(b, { ...before, scale: 1, initial: call.initial, final: call.final, sequences: tokens });
  }
  linear(b, { ...call, ...operands, own: { scalar, skip: D }, initial: before ? call.final : call.initial });
  if (z) siluGate(b, z, call.o);
  return { o: call.o, finalState: call.final.state, angle: final.angle, kPrev: final.k, vPrev: final.v };
}

/**
 * Mamba-3 with one input and output a head: S_t = e^(A_t dt_t) (S_{t-1} + (1 - lambda_t) dt_t k'_{t-1} v_{t-1}) + lambda_t dt_t k'_t v_t,
 * o_t = (q'_t S_t + D v_t) silu(z_t), q' and k' being q and k with pair r (elements 2r and 2r + 1) turned by the sum of
 * pi tanh(angles) dt so far. Unscaled.
 *
 * Source: Mamba-3 (2026); reference implementation state-spaces/mamba, mamba3_siso_step_ref.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example const { o, finalState, angle, kPrev, vPrev } = await mamba3({ q, k, v, dt, A, lambda, angles, D, z })
 */
export function mamba3(inputs: Mamba3Inputs, options: object = {}): Promise<Mamba3Result> {
  return run(OP, inputs, (b) => planMamba3(b, inputs, options));
}

/** As `mamba3`, to the end before it returns. */
export function mamba3Sync(inputs: Mamba3Inputs, options: object = {}): Mamba3Result {
  return runSync(OP, inputs, (b) => planMamba3(b, inputs, options));
}

/**
 * One token of `mamba3`; `state`, `angle`, `kPrev` and `vPrev` are updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands that do not fit.
 * @example mamba3Step({ q, k, v, dt, A, lambda, angles, state, angle, kPrev, vPrev, o })
 */
export function mamba3Step(inputs: Mamba3StepInputs, options: object = {}): { o: Tensor } {
  const { A, z } = inputs;
  const timed = [
    'v',
    'q',
    'k',
    'dt',
    'lambda',
    'angles',
    ...(A?.shape?.length === 1 ? [] : ['A']),
    ...(z ? ['z'] : []),
  ];
  const states = {
    state: 'initialState',
    angle: 'initialAngle',
    kPrev: 'initialKPrev',
    vPrev: 'initialVPrev',
  };
  return runStep({ op: OP, timed, states }, inputs, (b, lifted, into) => planMamba3(b, lifted, options, into));
}
