/**
 * States that methods carry from call to call: checked, made, or written over in a step.
 *
 * @module
 */
import { ShapeError } from '../errors.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { expectContiguous, expectTypes, matchShapes } from './shapes.ts';
import type { StepTarget } from './step.ts';

/**
 * Checks the state before the tokens and gives the tensor that takes the state after them: a new one, or in a step the same.
 *
 * @throws ShapeError, DTypeError if the state does not fit, or cannot be written in place.
 */
export function carried(
  b: Builder,
  op: string,
  name: string,
  initial: Tensor | undefined,
  shape: readonly number[],
  into: StepTarget | undefined,
  layout: 'contiguous' | 'strided' = 'contiguous',
): Tensor {
  if (initial) {
    matchShapes(op, { [name]: initial }, { [name]: shape.join(' ') });
    expectTypes(op, { [name]: initial }, ['f32']);
    if (layout === 'contiguous') expectContiguous(op, { [name]: initial });
    if (into && initial.size > 0 && initial.shape.some((n, axis) => n > 1 && initial.strides[axis] === 0)) {
      throw new ShapeError(
        `${op}: ${name} (shape [${initial.shape}], strides [${initial.strides}]) repeats elements and is to be updated in place. ` +
          'Copy it first.',
      );
    }
  }
  return into ? initial! : b.output(shape);
}
