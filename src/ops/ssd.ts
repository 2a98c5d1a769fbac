/**
 * Mamba-2's state-space duality.
 *
 * @module
 */

import { multiply } from '../engines/binary.ts';
import { pointwise } from '../engines/features.ts';
import { linear } from '../engines/linear.ts';
import { openOperands } from '../engines/linear-operands.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { TimeStepParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `ssd`. */
export interface SsdInputs {
  /** [B, T, H, P] */
  readonly x: Tensor;
  /** f32 [B, T, H]: time steps. */
  readonly dt: Tensor;
  /** f32 [H]: rates, negative for decay. */
  readonly A: Tensor;
  /** [B, T, G, N], H a multiple of G: heads share B and C in groups. */
  readonly B: Tensor;
  /** [B, T, G, N] */
  readonly C: Tensor;
  /** f32 [H]: skip connection. Default none. */
  readonly D?: Tensor;
  /** f32 [B, T, H, P]: the output is multiplied by silu(z). Default none. */
  readonly z?: Tensor;
  /** f32 [H]: added to dt. Default none. */
  readonly dtBias?: Tensor;
  /** f32 [S, H, P, N], S = B or the number of sequences. Default zeros. */
  readonly initialState?: Tensor;
  /** i32 [S + 1]: boundaries of sequences packed along T; B is then 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `ssd`. */
export interface SsdOptions {
  /** Take the softplus of dt + dtBias. Default false. */
  readonly dtSoftplus?: boolean;
}

/** Outputs of `ssd`. */
export interface SsdResult {
  /** f32 [B, T, H, P] */
  readonly o: Tensor;
  /** f32 [S, H, P, N] */
  readonly finalState: Tensor;
}

/** Inputs of `ssdStep`: those of `ssd` without the time axis, and a state. */
export interface SsdStepInputs extends Omit<SsdInputs, 'initialState' | 'cuSeqlens'> {
  /** f32 [B, H, P, N], updated in place. */
  readonly state: Tensor;
  /** f32 [B, H, P] to write into. Default: a new tensor. */
  readonly o?: Tensor;
}

const OP = 'ssd';

/** Lays out the call. */
export function planSsd(b: Builder, inputs: SsdInputs, options: SsdOptions, into?: StepTarget): SsdResult {
  expectNames(OP, 'input', inputs, ['x', 'dt', 'A', 'B', 'C', 'D', 'z', 'dtBias', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['dtSoftplus']);
  const { x, dt, A, B, C, D, z, dtBias, initialState, cuSeqlens } = inputs;
  const { call, sizes } = openOperands(
    b,
    OP,
    { q: C, k: B, v: x, ...(cuSeqlens && { cuSeqlens }) },
    { fallbackScale: 1 },
    { names: { q: 'C', k: 'B', v: 'x' }, gates: { dt: [dt, 'B T HV'], z: [z, '?B T HV V'] }, into },
  );
  const { T, HV, K, V, N } = sizes;
  matchShapes(OP, { A, D, dtBias }, { A: `${HV}`, D: `?${HV}`, dtBias: `?${HV}` });
  expectTypes(OP, { A, D, dtBias }, ['f32']);
  expectContiguous(OP, { dt, A, D, dtBias });
  // states lie as [P, N], which is the engine's [K, V] with its axes exchanged
  const exchanged = (state: Tensor) => state.permute([0, 1, 3, 2]);
  const finalState = carried(b, OP, 'initialState', initialState, [N, HV, V, K], into, 'strided');
  const steps = b.temporary(dt.shape);
  const g = b.temporary(dt.shape);
  b.dispatch({
    kernel: 'timeStep',
    params: encode(TimeStepParams, {
      x: dt.address,
      bias: dtBias?.address ?? 0,
      a: A.address,
      o: steps.address,
      g: g.address,
      heads: HV,
      softplus: options.dtSoftplus ? 1 : 0,
    }),
    items: dt.shape[0]! * T,
    grain: Math.max(1, Math.ceil(1024 / Math.max(1, HV))),
    flops: 30 * dt.size,
  });
  const state = exchanged(finalState);
  const initial = initialState && { state: initialState === finalState ? state : exchanged(initialState) };
  linear(b, { ...call, g, weight: steps, own: { skip: D }, initial, final: { state } });
  if (z) multiply(b, call.o, pointwise(b, 'silu', z), call.o);
  return { o: call.o, finalState };
}

/**
 * State-space duality: S_t = e^(dt_t A) S_{t-1} + dt_t x_t B_t, o_t = S_t C_t + D x_t, times silu(z_t); one decay for each head.
 *
 * Source: Mamba-2 (Dao and Gu 2024); reference implementation state-spaces/mamba, ssd_minimal_discrete.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await ssd({ x, dt, A, B, C, D }, { dtSoftplus: true })
 */
export function ssd(inputs: SsdInputs, options: SsdOptions = {}): Promise<SsdResult> {
  return run(OP, inputs, (b) => planSsd(b, inputs, options));
}

/** As `ssd`, to the end before it returns. */
export function ssdSync(inputs: SsdInputs, options: SsdOptions = {}): SsdResult {
  return runSync(OP, inputs, (b) => planSsd(b, inputs, options));
}

/**
 * One token of `ssd`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example ssdStep({ x, dt, A, B, C, D, state, o }, { dtSoftplus: true })
 */
export function ssdStep(inputs: SsdStepInputs, options: SsdOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['x', 'dt', 'B', 'C', 'z'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planSsd(b, lifted, options, into));
}
