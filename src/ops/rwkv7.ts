/**
 * RWKV-7 (Goose).
 *
 * @module
 */
import { delta } from '../engines/delta.ts';
import { openDelta } from '../engines/delta-operands.ts';
import type { LinearInputs, LinearOptions, LinearResult, Stepped } from '../engines/linear-operands.ts';
import { rowProducts } from '../engines/row-products.ts';
import { expectNames } from '../engines/shapes.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rwkv7`. */
export interface Rwkv7Inputs extends Omit<LinearInputs, 'q'> {
  /** `[B, T, H, K]`: receptance. */
  readonly r: Tensor;
  /** f32 [B, T, H, K]: log decay of the state's rows. */
  readonly w: Tensor;
  /** `[B, T, H, K]`: the key to remove, of length one. */
  readonly kk: Tensor;
  /** f32 [B, T, H, K]: how much of it to remove, in (0, 1). */
  readonly a: Tensor;
}

const OP = 'rwkv7';

/** Lays out the call. */
export function planRwkv7(b: Builder, inputs: Rwkv7Inputs, options: LinearOptions, into?: StepTarget): LinearResult {
  expectNames(OP, 'input', inputs, ['r', 'w', 'k', 'v', 'kk', 'a', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['scale']);
  const { r, w, kk, a, ...rest } = inputs;
  const { call } = openDelta(
    b,
    OP,
    { q: r, ...rest },
    { ...options, fallbackScale: 1 },
    {
      names: { q: 'r' },
      rows: { kk: [kk, 'B T H K'] },
      gates: { w: [w, 'B T H K'], a: [a, 'B T H K'] },
      into,
    },
  );
  delta(b, { ...call, a: kk, b: rowProducts(b, kk, a, { factor: -1 }), g: w });
  return { o: call.o, finalState: call.final };
}

/**
 * RWKV-7's time mixing: S_t = diag(e^w_t) S_{t-1} - (a_t kk_t) (kk_t S_{t-1}) + k_t v_t, o_t = scale r_t S_t.
 *
 * r, w, k, kk, a [B, T, H, K], v [B, T, HV, V]; states [N, HV, K, V]; scale 1 by default. Source: Goose (Peng 2025); reference
 * implementations RWKV-LM, fla (dplr_recurrence with a = -kk, b = kk a).
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await rwkv7({ r, w, k, v, kk, a, initialState })
 */
export function rwkv7(inputs: Rwkv7Inputs, options: LinearOptions = {}): Promise<LinearResult> {
  return run(OP, inputs, (b) => planRwkv7(b, inputs, options));
}

/** As `rwkv7`, to the end before it returns. */
export function rwkv7Sync(inputs: Rwkv7Inputs, options: LinearOptions = {}): LinearResult {
  return runSync(OP, inputs, (b) => planRwkv7(b, inputs, options));
}

/**
 * One token of `rwkv7`; `state` is updated in place.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example rwkv7Step({ r, w, k, v, kk, a, state, o })
 */
export function rwkv7Step(inputs: Stepped<Rwkv7Inputs>, options: LinearOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['v', 'r', 'w', 'k', 'kk', 'a'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRwkv7(b, lifted, options, into));
}
