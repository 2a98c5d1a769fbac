/**
 * Linear attention with data-dependent decays: simple GLA, GLA and HGRN2.
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
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `simpleGla`. */
export interface SimpleGlaInputs extends LinearInputs {
  /** f32 [B, T, HV]: log decay of each value head's state. */
  readonly g: Tensor;
}

/** Operands of `gla`. */
export interface GlaInputs extends LinearInputs {
  /** f32 [B, T, H, K]: log decay of the state's rows. Default 0. */
  readonly gk?: Tensor;
  /** f32 [B, T, HV, V]: log decay of the state's columns. Default 0. */
  readonly gv?: Tensor;
}

/** Operands of `hgrn2`. */
export interface Hgrn2Inputs extends Omit<LinearInputs, 'k'> {
  /** f32 [B, T, H, K]: forget gate in (0, 1); the key is 1 - f. */
  readonly f: Tensor;
}

const SHARED = ['q', 'k', 'v', 'initialState', 'cuSeqlens'];

/** Lays out simple GLA. */
export function planSimpleGla(
  b: Builder,
  inputs: SimpleGlaInputs,
  options: LinearOptions,
  into?: StepTarget,
): LinearResult {
  expectNames('simpleGla', 'input', inputs, [...SHARED, 'g']);
  expectNames('simpleGla', 'option', options, ['scale']);
  const { g } = inputs;
  const { call } = openLinear(b, 'simpleGla', inputs, options, { gates: { g: [g, 'B T HV'] }, into });
  linear(b, { ...call, g });
  return { o: call.o, finalState: call.final.state };
}

/** Lays out GLA. */
export function planGla(b: Builder, inputs: GlaInputs, options: LinearOptions, into?: StepTarget): LinearResult {
  expectNames('gla', 'input', inputs, [...SHARED, 'gk', 'gv']);
  expectNames('gla', 'option', options, ['scale']);
  const { gk, gv } = inputs;
  const gates = { gk: [gk, '?B T H K'], gv: [gv, '?B T HV V'] } as const;
  const { call } = openLinear(b, 'gla', inputs, options, { gates, into });
  linear(b, { ...call, g: gk, gv });
  return { o: call.o, finalState: call.final.state };
}

/** Lays out HGRN2. */
export function planHgrn2(b: Builder, inputs: Hgrn2Inputs, options: LinearOptions, into?: StepTarget): LinearResult {
  expectNames('hgrn2', 'input', inputs, ['q', 'f', 'v', 'initialState', 'cuSeqlens']);
  expectNames('hgrn2', 'option', options, ['scale']);
  const { f } = inputs;
  const { call } = openLinear(b, 'hgrn2', inputs, options, { gates: { f: [f, 'B T H K'] }, into, tiedKeys: true });
  linear(b, { ...call, g: f, linearGates: true, tied: true });
  return { o: call.o, finalState: call.final.state };
}

/**
 * Linear attention with one decay a token and head: S_t = e^g_t S_{t-1} + k_t v_t, o_t = scale q_t S_t.
 *
 * Source: Mamba-2's SSD form (Dao and Gu 2024), Yang 2023; reference implementation fla, naive_recurrent_simple_gla.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await simpleGla({ q, k, v, g, initialState })
 */
export function simpleGla(inputs: SimpleGlaInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('simpleGla', inputs, (b) => planSimpleGla(b, inputs, options));
}

/** As `simpleGla`, to the end before it returns. */
export function simpleGlaSync(inputs: SimpleGlaInputs, options: LinearOptions = {}): LinearResult {
  return runSync('simpleGla', inputs, (b) => planSimpleGla(b, inputs, options));
}

/**
 * One token of `simpleGla`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example simpleGlaStep({ q, k, v, g, state, o })
 */
export function simpleGlaStep(inputs: Stepped<SimpleGlaInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'simpleGla', options, timed: ['v', 'q', 'k', 'g'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planSimpleGla(b, lifted, options, into));
}

/**
 * Gated linear attention: S_t = diag(e^gk_t) S_{t-1} diag(e^gv_t) + k_t v_t, o_t = scale q_t S_t.
 *
 * Source: Gated Linear Attention (Yang 2023); reference implementation fla, naive_recurrent_gla.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await gla({ q, k, v, gk })
 */
export function gla(inputs: GlaInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('gla', inputs, (b) => planGla(b, inputs, options));
}

/** As `gla`, to the end before it returns. */
export function glaSync(inputs: GlaInputs, options: LinearOptions = {}): LinearResult {
  return runSync('gla', inputs, (b) => planGla(b, inputs, options));
}

/**
 * One token of `gla`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example glaStep({ q, k, v, gk, state, o })
 */
export function glaStep(inputs: Stepped<GlaInputs>, options: LinearOptions = {}): { o: Tensor } {
  const timed = ['v', 'q', 'k', ...(inputs.gk ? ['gk'] : []), ...(inputs.gv ? ['gv'] : [])];
  const shape = { op: 'gla', options, timed, states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planGla(b, lifted, options, into));
}

/**
 * HGRN2: gated linear attention whose key is the complement of its forget gate: S_t = diag(f_t) S_{t-1} + (1 - f_t) v_t,
 * o_t = scale q_t S_t.
 *
 * Source: HGRN2 (Qin 2024); reference implementation fla, naive_recurrent_gla with k = 1 - f.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await hgrn2({ q, f, v })
 */
export function hgrn2(inputs: Hgrn2Inputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run('hgrn2', inputs, (b) => planHgrn2(b, inputs, options));
}

/** As `hgrn2`, to the end before it returns. */
export function hgrn2Sync(inputs: Hgrn2Inputs, options: LinearOptions = {}): LinearResult {
  return runSync('hgrn2', inputs, (b) => planHgrn2(b, inputs, options));
}

/**
 * One token of `hgrn2`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example hgrn2Step({ q, f, v, state, o })
 */
export function hgrn2Step(inputs: Stepped<Hgrn2Inputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: 'hgrn2', options, timed: ['v', 'q', 'f'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planHgrn2(b, lifted, options, into));
}
