/**
 * Comba.
 *
 * @module
 */

import { asFloats } from '../engines/copy.ts';
import { delta } from '../engines/delta.ts';
import {
  type DeltaInputs,
  type NormalizingOptions,
  normalization,
  openDelta,
  strengths,
} from '../engines/delta-operands.ts';
import { l2norm } from '../engines/features.ts';
import type { LinearResult, Stepped } from '../engines/linear-operands.ts';
import { rowProducts } from '../engines/row-products.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `comba`. */
export interface CombaInputs extends DeltaInputs {
  /** `[B, T, H, K]`: what reads the state to erase, such as k times a decay below 1. */
  readonly p: Tensor;
  /** f32 [B, T, HV]: log decay of each value head's state. */
  readonly g: Tensor;
  /** f32 [H]: output correction, D p is taken from q. Default none. */
  readonly D?: Tensor;
}

const OP = 'comba';

/** Lays out the call. */
export function planComba(
  b: Builder,
  inputs: CombaInputs,
  options: NormalizingOptions,
  into?: StepTarget,
): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'k', 'v', 'p', 'g', 'beta', 'D', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale', 'useQkL2norm']);
  const { p, g, beta, D, ...rest } = inputs;
  const gates = { g: [g, 'B T HV'], beta: [beta, 'B T HV'] } as const;
  const { call, sizes } = openDelta(b, OP, rest, options, { gates, rows: { p: [p, 'B T H K'] }, into });
  const norm = normalization(OP, options);
  const { B, T, H } = sizes;
  matchShapes(OP, { D }, { D: `?${H}` });
  expectTypes(OP, { D }, ['f32']);
  expectContiguous(OP, { D });
  const q = D ? rowProducts(b, p, D.broadcast([B, T, H]), { factor: -1, base: call.q }) : call.q;
  const a = norm === undefined ? p : l2norm(b, asFloats(b, p), { eps: norm });
  delta(b, { ...call, q, a, g, beta: strengths(b, beta), readsOld: true, l2norm: norm });
  return { o: call.o, finalState: call.final };
}

/**
 * Comba, the delta rule that reads the state before it decays, by rows of their own: S_t = e^g_t S_{t-1} + k_t beta_t (v_t - p_t S_{t-1}),
 * o_t = scale (q_t - D p_t) S_t.
 *
 * q, k, p [B, T, H, K], v [B, T, HV, V], g and beta [B, T, HV], D [H]; states [N, HV, K, V]. `useQkL2norm` is for q - D p, k and p. Source:
 * Comba (Hu 2025); reference implementation fla, naive_chunk_comba and layers/comba.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await comba({ q, k, v, p, g, beta })
 */
export function comba(inputs: CombaInputs, options: NormalizingOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planComba(b, inputs, options));
}

/** As `comba`, to the end before it returns. */
export function combaSync(inputs: CombaInputs, options: NormalizingOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planComba(b, inputs, options));
}

/**
 * One token of `comba`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example combaStep({ q, k, v, p, g, beta, state, o })
 */
export function combaStep(inputs: Stepped<CombaInputs>, options: NormalizingOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'q', 'k', 'p', 'g', 'beta'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planComba(b, lifted, options, into));
}
