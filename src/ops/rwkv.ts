/**
 * The matrix-state forms of RWKV: 5 (Eagle) and 6 (Finch).
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
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rwkv5` and `rwkv6`. */
export interface RwkvInputs extends Omit<LinearInputs, 'q'> {
  /** `[B, T, H, K]`: receptance. */
  readonly r: Tensor;
  /** Log decay of the state's rows: f32 [H, K] in `rwkv5`, f32 [B, T, H, K] in `rwkv6`. */
  readonly w: Tensor;
  /** f32 [H, K]: bonus of a token's own key. */
  readonly u: Tensor;
}

/** Lays out RWKV-5 or RWKV-6. */
export function planRwkv(
  b: Builder,
  op: 'rwkv5' | 'rwkv6',
  inputs: RwkvInputs,
  options: LinearOptions,
  into?: StepTarget,
): LinearResult {
  expectNames(op, 'input', inputs, ['r', 'k', 'v', 'w', 'u', 'initialState', 'cuSeqlens']);
  expectNames(op, 'option', options, ['scale']);
  const { r, w, u, ...rest } = inputs;
  const gates: Record<string, [Tensor, string]> = op === 'rwkv6' ? { w: [w, 'B T H K'] } : {};
  const { call, sizes } = openLinear(
    b,
    op,
    { q: r, ...rest },
    { ...options, fallbackScale: 1 },
    { names: { q: 'r' }, gates, into },
  );
  const { B, T, H, K } = sizes;
  const constant = op === 'rwkv5' ? w : undefined;
  matchShapes(op, { w: constant, u }, { w: op === 'rwkv5' ? `${H} ${K}` : '?', u: `${H} ${K}` });
  expectTypes(op, { w, u }, ['f32']);
  expectContiguous(op, { w: constant, u });
  const g = op === 'rwkv5' ? w.broadcast([B, T, H, K]) : w;
  linear(b, { ...call, g, exclusive: true, own: { bonus: u } });
  return { o: call.o, finalState: call.final.state };
}

/**
 * RWKV-5's time mixing: o_t = scale r_t (S_{t-1} + diag(u) k_t v_t), S_t = diag(e^w) S_{t-1} + k_t v_t, with decays that are constant.
 *
 * Scale is 1 by default. Source: Eagle (Peng 2024); reference implementations RWKV-LM, fla.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await rwkv5({ r, k, v, w, u, initialState })
 */
export function rwkv5(inputs: RwkvInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('rwkv5', inputs, (b) => planRwkv(b, 'rwkv5', inputs, options));
}

/** As `rwkv5`, to the end before it returns. */
export function rwkv5Sync(inputs: RwkvInputs, options: LinearOptions = {}): LinearResult {
  return runSync('rwkv5', inputs, (b) => planRwkv(b, 'rwkv5', inputs, options));
}

/**
 * One token of `rwkv5`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example rwkv5Step({ r, k, v, w, u, state, o })
 */
export function rwkv5Step(inputs: Stepped<RwkvInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'rwkv5', options, timed: ['v', 'r', 'k'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRwkv(b, 'rwkv5', lifted, options, into));
}

/**
 * RWKV-6's time mixing: o_t = scale r_t (S_{t-1} + diag(u) k_t v_t), S_t = diag(e^w_t) S_{t-1} + k_t v_t.
 *
 * Scale is 1 by default. Source: Finch (Peng 2024); reference implementation fla, naive_recurrent_rwkv6.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await rwkv6({ r, k, v, w, u })
 */
export function rwkv6(inputs: RwkvInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('rwkv6', inputs, (b) => planRwkv(b, 'rwkv6', inputs, options));
}

/** As `rwkv6`, to the end before it returns. */
export function rwkv6Sync(inputs: RwkvInputs, options: LinearOptions = {}): LinearResult {
  return runSync('rwkv6', inputs, (b) => planRwkv(b, 'rwkv6', inputs, options));
}

/**
 * One token of `rwkv6`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example rwkv6Step({ r, k, v, w, u, state, o })
 */
export function rwkv6Step(inputs: Stepped<RwkvInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'rwkv6', options, timed: ['v', 'r', 'k', 'w'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRwkv(b, 'rwkv6', lifted, options, into));
}
