/**
 * Decoding steps: a prefill of one token on tensors that have no time axis.
 *
 * @module
 */
import type { Tensor } from '../tensor.ts';
import { expectContiguous, expectTypes, matchShapes } from './shapes.ts';

/** The tensor [B, ...] as [B, 1, ...]. */
export function withTime(tensor: Tensor): Tensor {
  const [batch, ...rest] = tensor.shape as [number, ...number[]];
  return tensor.reshape([batch, 1, ...rest]);
}

/**
 * Checks the inputs of a step against a prefill's patterns without their T axes, and gives those that had one a T axis of 1.
 *
 * @throws ShapeError, DTypeError for inputs that do not fit.
 */
export function oneToken<Name extends string>(
  op: string,
  inputs: Partial<Record<Name, Tensor | undefined>>,
  patterns: Readonly<Record<Name, string>>,
): { [name in Name]?: Tensor } {
  const names = Object.keys(patterns) as Name[];
  const timeless = Object.fromEntries(names.map((name) => [name, patterns[name].replace(' T', '')]));
  matchShapes(op, inputs, timeless as Record<Name, string>);
  const given = Object.fromEntries(names.map((name) => [name, inputs[name]]).filter(([, tensor]) => tensor));
  expectTypes(op, given, ['f32']);
  expectContiguous(op, given);
  return Object.fromEntries(
    (Object.entries(given) as [Name, Tensor][]).map(([name, tensor]) => [
      name,
      patterns[name].includes(' T') ? withTime(tensor) : tensor,
    ]),
  ) as { [name in Name]?: Tensor };
}
