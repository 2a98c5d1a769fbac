/**
 * ONNX CausalConvWithState, opset 27.
 *
 * @module
 */
import { causalConv } from '../engines/conv.ts';
import { sequencesOf } from '../engines/sequences.ts';
import { expectContiguous, expectNames, expectTypes, matchShapes } from '../engines/shapes.ts';
import { OptionError, ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectTensors } from './attributes.ts';
import { moveRows, round, unrounded, widened } from './rows.ts';

/** Operands of `CausalConvWithState`. */
export interface CausalConvWithStateInputs {
  /** [B, C, T]; f32, f16 or bf16. */
  readonly input: Tensor;
  /** [C, 1, k] of the type of input. */
  readonly weight: Tensor;
  /** [C] of the type of input; default zeros. */
  readonly bias?: Tensor;
  /** [B, C, k - 1] of the type of input: the inputs before the first, oldest first. Default zeros. */
  readonly past_state?: Tensor;
}

/** Attributes of `CausalConvWithState`. */
export interface CausalConvWithStateAttributes {
  /** Applied to each output; 'swish' is 'silu'. Default 'none'. */
  readonly activation?: 'none' | 'silu' | 'swish';
}

/** Results of `CausalConvWithState`. */
export interface CausalConvWithStateOutputs {
  /** [B, C, T] of the type of input. */
  readonly output: Tensor;
  /** [B, C, k - 1] of the type of input: the last inputs. */
  readonly present_state: Tensor;
}

const OP = 'CausalConvWithState';

/** x [B, C, T] or its transpose as [B, T, C, 1], for a copy that changes the order. */
function timeMajor(x: Tensor, channelsFirst: boolean): Tensor {
  const ordered = channelsFirst ? x.permute([0, 2, 1]) : x;
  return ordered.restride([...ordered.shape, 1], [...ordered.strides, 1]);
}

function plan(
  b: Builder,
  inputs: CausalConvWithStateInputs,
  attributes: CausalConvWithStateAttributes,
): CausalConvWithStateOutputs {
  expectNames(OP, 'input', inputs, ['input', 'weight', 'bias', 'past_state']);
  expectNames(OP, 'option', attributes, ['activation']);
  expectTensors(OP, inputs, ['input', 'weight']);
  const { input, weight, bias, past_state } = inputs;
  const { activation = 'none' } = attributes;
  if (!['none', 'silu', 'swish'].includes(activation)) {
    throw new OptionError(`${OP}: activation is '${activation}', expected 'none', 'silu' or 'swish'`);
  }
  const sizes = matchShapes(OP, { input, weight, bias }, { input: 'B C T', weight: 'C 1 k', bias: '?C' });
  const { B, C, T, k } = sizes as Record<'B' | 'C' | 'T' | 'k', number>;
  if (k === 0) throw new ShapeError(`${OP}: weight has shape [${weight.shape}], expected [C, 1, k] with k > 0`);
  matchShapes(OP, { past_state }, { past_state: `?${B} ${C} ${k - 1}` });
  expectTypes(OP, { input }, ['f32', 'f16', 'bf16']);
  expectTypes(OP, { weight, bias, past_state }, [input.dtype]);
  expectContiguous(OP, { weight, bias, past_state });
  const output = b.output([B, C, T], input.dtype);
  const present_state = b.output([B, C, k - 1], input.dtype);
  const [x, o] = [b.temporary([B, T, C]), b.temporary([B, T, C])];
  const finalState = unrounded(b, present_state);
  moveRows(b, timeMajor(input, true), timeMajor(x, false));
  causalConv(b, {
    x,
    weight: widened(b, weight).reshape([C, k]),
    bias: bias && widened(b, bias),
    initialState: past_state && widened(b, past_state),
    finalState,
    o,
    sequences: sequencesOf(OP, { B, Tq: T, Tk: T }, {}),
    activation: activation === 'none' ? 'none' : 'silu',
  });
  moveRows(b, timeMajor(o, false), timeMajor(output, true));
  round(b, finalState, present_state);
  return { output, present_state };
}

/**
 * Depthwise causal convolution with the state that streaming needs:
 * output_t = act(bias + sum_j weight[:, 0, j] input_{t - k + 1 + j}).
 *
 * Source: ONNX CausalConvWithState-27.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @example const { output, present_state } = await CausalConvWithState({ input, weight, past_state }, { activation: 'silu' })
 */
export function CausalConvWithState(
  inputs: CausalConvWithStateInputs,
  attributes: CausalConvWithStateAttributes = {},
): Promise<CausalConvWithStateOutputs> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `CausalConvWithState`, to the end before it returns. */
export function CausalConvWithStateSync(
  inputs: CausalConvWithStateInputs,
  attributes: CausalConvWithStateAttributes = {},
): CausalConvWithStateOutputs {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
