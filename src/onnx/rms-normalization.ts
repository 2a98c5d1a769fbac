/**
 * ONNX RMSNormalization, opset 23.
 *
 * @module
 */
import { expectContiguous, expectNames, expectTypes, finite } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { NormParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import { axisOf, expectFloatType, expectTensors } from './attributes.ts';
import { round, unrounded, widened } from './rows.ts';

/** Operands of `RMSNormalization`. */
export interface RMSNormalizationInputs {
  /** Any shape; f32, f16 or bf16. */
  readonly X: Tensor;
  /** Broadcast to the axes of X from `axis` on; f32, f16 or bf16. */
  readonly scale: Tensor;
}

/** Attributes of `RMSNormalization`. */
export interface RMSNormalizationAttributes {
  /** First of the axes that are normalised together, up to the last. Default -1. */
  readonly axis?: number;
  /** Added to the mean square. Default 1e-5. */
  readonly epsilon?: number;
  /** A TensorProto.DataType; the arithmetic is float32 in any case. Default 1, float32. */
  readonly stash_type?: number;
}

const OP = 'RMSNormalization';

/** The scale as f32 of exactly `shape`. */
function weightOf(b: Builder, scale: Tensor, shape: readonly number[]): Tensor {
  const extra = scale.shape.length - shape.length;
  const fits = extra <= 0 && scale.shape.every((n, axis) => n === 1 || n === shape[axis - extra]);
  if (!fits) {
    throw new ShapeError(
      `${OP}: scale has shape [${scale.shape}], expected one that broadcasts to the normalised axes [${shape}]`,
    );
  }
  if (scale.contiguous && scale.size === sizeOf(shape)) return widened(b, scale);
  const weight = b.temporary(shape);
  weight.write(scale.broadcast(shape).dataSync());
  return weight;
}

function plan(b: Builder, inputs: RMSNormalizationInputs, attributes: RMSNormalizationAttributes): { Y: Tensor } {
  expectNames(OP, 'input', inputs, ['X', 'scale']);
  expectNames(OP, 'option', attributes, ['axis', 'epsilon', 'stash_type']);
  const { X, scale } = inputs;
  expectTensors(OP, inputs, ['X', 'scale']);
  expectTypes(OP, { X, scale }, ['f32', 'f16', 'bf16']);
  expectContiguous(OP, { X });
  expectFloatType(OP, 'stash_type', attributes.stash_type);
  const axis = axisOf(OP, attributes.axis ?? -1, X.shape.length);
  const normalized = X.shape.slice(axis);
  const n = sizeOf(normalized);
  const weight = weightOf(b, scale, normalized);
  const Y = b.output(X.shape, scale.dtype);
  const to = unrounded(b, Y);
  b.dispatch({
    kernel: 'norm',
    params: encode(NormParams, {
      x: widened(b, X).address,
      weight: weight.address,
      o: to.address,
      n,
      epsilon: finite(OP, 'epsilon', attributes.epsilon, 1e-5, 0),
    }),
    items: X.size / Math.max(1, n),
    grain: Math.max(1, Math.ceil(8192 / Math.max(1, n))),
    flops: 8 * X.size,
  });
  round(b, to, Y);
  return { Y };
}

/**
 * Root-mean-square normalisation over the axes from `axis` on: Y = X / sqrt(mean(X^2) + epsilon) * scale.
 *
 * Y has the type of scale. Source: ONNX RMSNormalization-23; Zhang and Sennrich 2019.
 *
 * @throws ShapeError, DTypeError, OptionError for operands or attributes that do not fit.
 * @example const { Y } = await RMSNormalization({ X, scale }, { epsilon: 1e-6 })
 */
export function RMSNormalization(
  inputs: RMSNormalizationInputs,
  attributes: RMSNormalizationAttributes = {},
): Promise<{ Y: Tensor }> {
  return run(OP, inputs, (b) => plan(b, inputs, attributes));
}

/** As `RMSNormalization`, to the end before it returns. */
export function RMSNormalizationSync(
  inputs: RMSNormalizationInputs,
  attributes: RMSNormalizationAttributes = {},
): { Y: Tensor } {
  return runSync(OP, inputs, (b) => plan(b, inputs, attributes));
}
