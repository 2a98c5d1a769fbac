/**
 * The two layouts of ONNX: [B, H, T, D], and [B, T, H * D] with the number of heads as an attribute.
 *
 * @module
 */
import { OptionError, ShapeError } from '../errors.ts';
import type { Tensor } from '../tensor.ts';

/**
 * The tensor as [B, T, H, D], without a copy.
 *
 * @param heads the attribute; for 4 axes it may be left out.
 * @throws ShapeError if there are not 3 or 4 axes, or the heads do not divide the last of 3.
 * @throws OptionError if the attribute is missing or contradicts the shape.
 */
export function splitHeads(
  op: string,
  name: string,
  tensor: Tensor,
  attribute: string,
  heads: number | undefined,
): Tensor {
  const { shape, strides } = tensor;
  if (heads !== undefined && !(Number.isInteger(heads) && heads > 0)) {
    throw new OptionError(`${op}: ${attribute} is ${heads}, expected a whole number > 0`);
  }
  if (shape.length === 4) {
    if (heads !== undefined && heads !== shape[1]) {
      throw new OptionError(
        `${op}: ${attribute} is ${heads}, but ${name} has shape [${shape}], which is ${shape[1]} heads`,
      );
    }
    return tensor.permute([0, 2, 1, 3]);
  }
  if (shape.length !== 3) {
    throw new ShapeError(`${op}: ${name} has shape [${shape}], expected [B, T, H * D] or [B, H, T, D]`);
  }
  if (heads === undefined) {
    throw new OptionError(`${op}: ${name} has shape [${shape}], whose heads only ${attribute} tells. Set it.`);
  }
  const [B, T, width] = shape as [number, number, number];
  if (width % heads !== 0) {
    throw new ShapeError(`${op}: ${name} has shape [${shape}]: ${attribute} = ${heads} does not divide ${width}`);
  }
  const d = width / heads;
  return tensor.restride([B, T, heads, d], [strides[0]!, strides[1]!, d * strides[2]!, strides[2]!]);
}

/** Shape of a [B, T, H, D] result in the layout of an operand with `rank` axes. */
export function joinedShape(rank: number, [B, T, H, D]: readonly [number, number, number, number]): number[] {
  return rank === 4 ? [B, H, T, D] : [B, T, H * D];
}
