/**
 * The element-wise gated recurrence of HGRN.
 *
 * @module
 */

import { oneToken, withTime } from '../engines/one-token.ts';
import { elementScan, scanSequences } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `hgrn`. */
export interface HgrnInputs {
  /** f32 [B, T, D] */
  readonly x: Tensor;
  /** f32 [B, T, D]: log of the forget gate, at most 0. */
  readonly g: Tensor;
  /** f32 [N, D], N = B or the sequences of cuSeqlens; default zeros. */
  readonly initialState?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Results of `hgrn`. */
export interface HgrnResult {
  /** [B, T, D] */
  readonly o: Tensor;
  /** [N, D] */
  readonly finalState: Tensor;
}

/** Operands of `hgrnStep`. */
export interface HgrnStepInputs {
  /** f32 [B, D] */
  readonly x: Tensor;
  /** f32 [B, D] */
  readonly g: Tensor;
  /** f32 [B, D], updated in place. */
  readonly state: Tensor;
  /** f32 [B, D] to write to; default a new tensor. */
  readonly o?: Tensor;
}

const OP = 'hgrn';
const STEP = 'hgrnStep';

/** Lays out the call, into given results where there are some. */
export function planHgrn(
  b: Builder,
  inputs: HgrnInputs,
  options: object = {},
  into: Partial<HgrnResult> = {},
): HgrnResult {
  expectNames(OP, 'input', inputs, ['x', 'g', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, []);
  const { x, g, initialState, cuSeqlens } = inputs;
  matchShapes(OP, { x, g, cuSeqlens }, { x: 'B T D', g: 'B T D', cuSeqlens: '?boundaries' });
  expectTypes(OP, { x, g, initialState }, ['f32']);
  expectContiguous(OP, { x, g, initialState });
  const spans = scanSequences(OP, x, cuSeqlens);
  const D = x.shape[2]!;
  matchShapes(OP, { initialState }, { initialState: `?${spans.length} ${D}` });
  const o = into.o ?? b.output(x.shape);
  const finalState = into.finalState ?? b.output([spans.length, D]);
  elementScan(b, { spans, like: x, x, g, initial: initialState, final: finalState, o });
  return { o, finalState };
}

/**
 * Element-wise gated recurrence: h_t = e^{g_t} h_{t-1} + x_t, o_t = h_t.
 *
 * Source: HGRN (Qin 2023); reference implementation fla, naive_recurrent_hgrn.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o, finalState } = await hgrn({ x, g, initialState })
 */
export function hgrn(inputs: HgrnInputs, options: object = {}): Promise<HgrnResult> {
  return run(OP, inputs, (b) => planHgrn(b, inputs, options));
}

/** As `hgrn`, to the end before it returns. */
export function hgrnSync(inputs: HgrnInputs, options: object = {}): HgrnResult {
  return runSync(OP, inputs, (b) => planHgrn(b, inputs, options));
}

/**
 * One token of `hgrn`: state <- e^g state + x, o = state.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o } = hgrnStep({ x, g, state, o: buffer })
 */
export function hgrnStep(inputs: HgrnStepInputs, options: object = {}): { o: Tensor } {
  return runSync(STEP, inputs, (b) => {
    expectNames(STEP, 'input', inputs, ['x', 'g', 'state', 'o']);
    const { x, g, state } = oneToken<keyof HgrnStepInputs>(
      STEP,
      { ...inputs },
      { x: 'B T D', g: 'B T D', state: 'B D', o: '?B T D' },
    ) as Required<Record<keyof HgrnStepInputs, Tensor>>;
    const o = inputs.o ?? b.output(inputs.x.shape);
    planHgrn(b, { x, g, initialState: state }, options, { o: withTime(o), finalState: state });
    return { o };
  });
}
