/**
 * MetaLA.
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

/** Operands of `metala`. */
export interface MetalaInputs extends Omit<LinearInputs, 'k'> {
  /** f32 [B, T, H, K]: log decay; the key is 1 - e^g. */
  readonly g: Tensor;
  /** f32 [H, K]: self-augmentation. */
  readonly aug: Tensor;
}

const OP = 'metala';

/** Lays out the call. */
export function planMetala(b: Builder, inputs: MetalaInputs, options: LinearOptions, into?: StepTarget): LinearResult {
  expectNames(OP, 'input', inputs, ['q', 'v', 'g', 'aug', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { g, aug, ...rest } = inputs;
  const { call, sizes } = openLinear(b, OP, rest, options, { gates: { g: [g, 'B T H K'] }, into, tiedKeys: true });
  matchShapes(OP, { aug }, { aug: `${sizes.H} ${sizes.K}` });
  expectTypes(OP, { aug }, ['f32']);
  expectContiguous(OP, { aug });
  linear(b, { ...call, g, tied: true, own: { bonus: aug, sigmoid: true } });
  return { o: call.o, finalState: call.final.state };
}

/**
 * MetaLA: S_t = diag(e^g_t) S_{t-1} + k_t v_t with k_t = 1 - e^g_t, o_t = scale q_t S_t + sigmoid(q_t (aug k_t)) v_t.
 *
 * Source: MetaLA (Chou 2024); reference implementation BICLab/MetaLA.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await metala({ q, v, g, aug })
 */
export function metala(inputs: MetalaInputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planMetala(b, inputs, options));
}

/** As `metala`, to the end before it returns. */
export function metalaSync(inputs: MetalaInputs, options: LinearOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planMetala(b, inputs, options));
}

/**
 * One token of `metala`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example metalaStep({ q, v, g, aug, state, o })
 */
export function metalaStep(inputs: Stepped<MetalaInputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'q', 'g'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planMetala(b, lifted, options, into));
}
