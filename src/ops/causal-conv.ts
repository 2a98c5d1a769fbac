/**
 * Short causal convolution along time.
 *
 * @module
 */
import { causalConv } from '../engines/conv.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectRows, expectTypes, matchShapes } from '../engines/shapes.ts';
import { carried } from '../engines/states.ts';
import { runStep, type StepTarget } from '../engines/step.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `causalConv1d`. */
export interface CausalConv1dInputs {
  /** f32 [B, T, D] */
  readonly x: Tensor;
  /** f32 [D, W]: weight[d, W - 1] is the newest input's. */
  readonly weight: Tensor;
  /** f32 [D]; default zeros. */
  readonly bias?: Tensor | undefined;
  /** f32 [N, D, W - 1]: the inputs before the first row, oldest first, N = B or the sequences of cuSeqlens. Default zeros. */
  readonly initialState?: Tensor | undefined;
  /** i32 [N + 1]: boundaries of sequences that are packed along T; B is 1. */
  readonly cuSeqlens?: Tensor | undefined;
}

/** Operands of `causalConv1dStep`. */
export interface CausalConv1dStepInputs extends Pick<CausalConv1dInputs, 'weight' | 'bias'> {
  /** f32 [B, D] */
  readonly x: Tensor;
  /** f32 [B, D, W - 1]: the last inputs, oldest first; moved on by one in place. */
  readonly state: Tensor;
  /** f32 [B, D] to write into; must not be x. */
  readonly o?: Tensor | undefined;
}

/** Options of `causalConv1d`. */
export interface CausalConv1dOptions {
  /** Applied to each output. Default 'none'. */
  readonly activation?: 'none' | 'silu';
}

/** Results of `causalConv1d`. */
export interface CausalConv1dResult {
  /** f32 [B, T, D] */
  readonly o: Tensor;
  /** f32 [N, D, W - 1]: the last W - 1 inputs. */
  readonly finalState: Tensor;
}

const OP = 'causalConv1d';

/** Lays out the call. */
export function planCausalConv1d(
  b: Builder,
  inputs: CausalConv1dInputs,
  options: CausalConv1dOptions,
  into?: StepTarget,
): CausalConv1dResult {
  expectNames(OP, 'input', inputs, ['x', 'weight', 'bias', 'initialState', 'cuSeqlens']);
  expectNames(OP, 'option', options, ['activation']);
  const { x, weight, bias, initialState, cuSeqlens } = inputs;
  const { activation = 'none' } = options;
  if (activation !== 'none' && activation !== 'silu') {
    throw new OptionError(`${OP}: activation is '${activation}', expected 'none' or 'silu'`);
  }
  const sizes = matchShapes(OP, { x, weight, bias }, { x: 'B T D', weight: 'D W', bias: '?D' });
  const { B, T, D, W } = sizes as Record<'B' | 'T' | 'D' | 'W', number>;
  if (W === 0) throw new ShapeError(`${OP}: weight has shape [${weight.shape}], expected [D, W] with W > 0`);
  expectTypes(OP, { x, weight, bias }, ['f32']);
  expectRows(OP, { x });
  expectContiguous(OP, { weight, bias });
  const sequences = sequencesOf(OP, { B, Tq: T, Tk: T }, { cuSeqlens });
  const finalState = carried(b, OP, 'initialState', initialState, [sequences.length, D, W - 1], into);
  const o = into?.o ?? b.output([B, T, D]);
  causalConv(b, { x, weight, bias, initialState, finalState, o, sequences, activation });
  return { o, finalState };
}

/**
 * Depthwise causal convolution over the last W inputs of each channel:
 * o_t = act(bias + sum_w weight[:, w] x_{t - W + 1 + w}), a cross-correlation.
 *
 * Source: the short convolution of H3 (Fu et al. 2022) and Mamba (Gu and Dao 2023); reference implementation
 * state-spaces causal_conv1d.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o, finalState } = await causalConv1d({ x, weight, bias }, { activation: 'silu' })
 */
export function causalConv1d(
  inputs: CausalConv1dInputs,
  options: CausalConv1dOptions = {},
): Promise<CausalConv1dResult> {
  return run(OP, inputs, (b) => planCausalConv1d(b, inputs, options));
}

/** As `causalConv1d`, to the end before it returns. */
export function causalConv1dSync(inputs: CausalConv1dInputs, options: CausalConv1dOptions = {}): CausalConv1dResult {
  return runSync(OP, inputs, (b) => planCausalConv1d(b, inputs, options));
}

/**
 * `causalConv1d` of one new row: the state moves on by it in place.
 *
 * Source: state-spaces causal_conv1d, causal_conv1d_update.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or options that do not fit.
 * @example const { o } = causalConv1dStep({ x, weight, bias, state }, { activation: 'silu' })
 */
export function causalConv1dStep(inputs: CausalConv1dStepInputs, options: CausalConv1dOptions = {}): { o: Tensor } {
  const shape = { op: OP, options, timed: ['x'], states: { state: 'initialState' } };
  return runStep(shape, inputs, (b, lifted, into) => planCausalConv1d(b, lifted, options, into));
}
