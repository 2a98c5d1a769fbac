/**
 * The real-gated linear recurrent unit of Griffin and RecurrentGemma.
 *
 * @module
 */
import { elementScan, scanSequences } from '../engines/scan.ts';
import { expectContiguous, expectNames, expectTypes, finite, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `rgLru`. */
export interface RgLruInputs {
  /** f32 [B, T, D] */
  readonly x: Tensor;
  /** f32 [B, T, D]: gate of the input, a sigmoid's value. */
  readonly inputGate: Tensor;
  /** f32 [B, T, D]: gate of the recurrence, a sigmoid's value. */
  readonly recurrentGate: Tensor;
  /** f32 [D]: the decay is e^{-c softplus(recurrentParam) recurrentGate}. */
  readonly recurrentParam: Tensor;
  /** f32 [N, D], N = B or the sequences of cuSeqlens; default zeros, and the sequences begin here. */
  readonly initialState?: Tensor;
  /** i32 [N + 1]: boundaries of sequences packed along T, with B = 1. */
  readonly cuSeqlens?: Tensor;
}

/** Options of `rgLru`. */
export interface RgLruOptions {
  /** Factor on the log decay. Default 8. */
  readonly c?: number;
  /**
   * Whether sequences begin here: the first token then enters as it is, without the factor sqrt(1 - a^2), and the state before
   * it is forgotten. Default: true without an initial state.
   */
  readonly reset?: boolean;
}

/** Results of `rgLru`. */
export interface RgLruResult {
  /** [B, T, D] */
  readonly o: Tensor;
  /** [N, D] */
  readonly finalState: Tensor;
}

/** Operands of `rgLruStep`. */
export interface RgLruStepInputs {
  /** f32 [B, D] */
  readonly x: Tensor;
  /** f32 [B, D] */
  readonly inputGate: Tensor;
  /** f32 [B, D] */
  readonly recurrentGate: Tensor;
  /** f32 [D] */
  readonly recurrentParam: Tensor;
  /** f32 [B, D], updated in place. */
  readonly state: Tensor;
  /** f32 [B, D] to write to; default a new tensor. */
  readonly o?: Tensor;
}

const OP = 'rgLru';

/** Lays out the call. */
export function planRgLru(b: Builder, inputs: RgLruInputs, options: RgLruOptions = {}, into?: StepTarget): RgLruResult {
  const names = ['x', 'inputGate', 'recurrentGate', 'recurrentParam', 'initialState', 'cuSeqlens'];
  expectNames(OP, 'input', inputs, names);
  expectNames(OP, 'option', options, ['c', 'reset']);
  const { x, inputGate, recurrentGate, recurrentParam, initialState, cuSeqlens } = inputs;
  matchShapes(
    OP,
    { x, inputGate, recurrentGate, recurrentParam, cuSeqlens },
    {
      x: 'B T D',
      inputGate: 'B T D',
      recurrentGate: 'B T D',
      recurrentParam: 'D',
      cuSeqlens: '?boundaries',
    },
  );
  expectTypes(OP, { x, inputGate, recurrentGate, recurrentParam }, ['f32']);
  expectContiguous(OP, { x, inputGate, recurrentGate, recurrentParam });
  const { reset = initialState === undefined } = options;
  if (typeof reset !== 'boolean') throw new OptionError(`${OP}: reset is ${reset}, expected true or false`);
  const c = finite(OP, 'c', options.c, 8, 0);
  const spans = scanSequences(OP, x, cuSeqlens);
  const finalState = carried(b, OP, 'initialState', initialState, [spans.length, x.shape[2]!], into);
  const o = into?.o ?? b.output(x.shape);
  // an empty sequence keeps its state
  elementScan(b, {
    spans,
    like: x,
    x,
    g: recurrentGate,
    rgLru: { inputGate, recurrentParam, c, reset },
    initial: initialState,
    final: finalState,
    o,
  });
  return { o, finalState };
}

/**
 * Real-gated linear recurrent unit: h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t x_t with a_t = e^{-c softplus(param) r_t}, o_t = h_t.
 *
 * Source: Griffin (De 2024); reference implementation transformers, RecurrentGemmaRglru.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await rgLru({ x, inputGate, recurrentGate, recurrentParam })
 */
export function rgLru(inputs: RgLruInputs, options: RgLruOptions = {}): Promise<RgLruResult> {
  return run(OP, inputs, (b) => planRgLru(b, inputs, options));
}

/** As `rgLru`, to the end before it returns. */
export function rgLruSync(inputs: RgLruInputs, options: RgLruOptions = {}): RgLruResult {
  return runSync(OP, inputs, (b) => planRgLru(b, inputs, options));
}

/**
 * One token of `rgLru`: state <- a state + sqrt(1 - a^2) i x, o = state. The first token of a sequence needs `reset: true`.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = rgLruStep({ x, inputGate, recurrentGate, recurrentParam, state, o: buffer })
 */
export function rgLruStep(inputs: RgLruStepInputs, options: RgLruOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['x', 'inputGate', 'recurrentGate'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planRgLru(b, lifted, options, into));
}
