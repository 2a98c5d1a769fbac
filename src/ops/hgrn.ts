/**
 * The element-wise gated recurrence of HGRN.
 *
 * @module
 */
import { elementScan, scanSequences } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
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

/** Lays out the call. */
export function planHgrn(b: Builder, inputs: HgrnInputs, options: object = {}, into?: StepTarget): HgrnResult {
  expectNames(OP, 'input', inputs, ['x', 'g', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, []);
  const { x, g, initialState, cuSeqlens } = inputs;
  matchShapes(OP, { x, g, cuSeqlens }, { x: 'B T D', g: 'B T D', cuSeqlens: '?boundaries' });
  expectTypes(OP, { x, g }, ['f32']);
  expectContiguous(OP, { x, g });
  const spans = scanSequences(OP, x, cuSeqlens);
  const finalState = carried(b, OP, 'initialState', initialState, [spans.length, x.shape[2]!], into);
  const o = into?.o ?? b.output(x.shape);
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
  const shape = { op: OP, options, timed: ['x', 'g'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planHgrn(b, lifted, options, into));
}
