/**
 * Sums and products of tensors, element by element.
 *
 * @module
 */
import { multiply, sum } from '../engines/binary.ts';
import { expectContiguous, expectNames, expectTensor, expectTypes } from '../engines/shapes.ts';
import { ShapeError } from '../errors.ts';
import { type Builder, run, runSync } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Operands of `add` and `mul`. */
export interface BinaryInputs {
  /** f32, any shape. */
  readonly a: Tensor;
  /** f32, the last axes of a; repeated along the others. */
  readonly b: Tensor;
}

/** Lays out the call. */
export function planBinary(b: Builder, op: 'add' | 'mul', inputs: BinaryInputs): { o: Tensor } {
  expectNames(op, 'input', inputs, ['a', 'b']);
  expectTensor(op, 'a', inputs.a, 'of any shape');
  expectTensor(op, 'b', inputs.b, 'of the last axes of a');
  expectTypes(op, { a: inputs.a, b: inputs.b }, ['f32']);
  expectContiguous(op, { a: inputs.a, b: inputs.b });
  const { a, b: right } = inputs;
  const tail = a.shape.slice(a.shape.length - right.shape.length);
  if (right.shape.length > a.shape.length || right.shape.some((n, axis) => n !== tail[axis])) {
    throw new ShapeError(
      `${op}: b has shape [${right.shape}], expected the last axes of a, whose shape is [${a.shape}]`,
    );
  }
  const o = b.output(a.shape);
  (op === 'add' ? sum : multiply)(b, a, right, o);
  return { o };
}

/**
 * o = a + b, b repeated along the leading axes of a.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o } = await add({ a: x, b: bias })
 */
export function add(inputs: BinaryInputs): Promise<{ o: Tensor }> {
  return run('add', inputs, (b) => planBinary(b, 'add', inputs));
}

/** As `add`, to the end before it returns. */
export function addSync(inputs: BinaryInputs): { o: Tensor } {
  return runSync('add', inputs, (b) => planBinary(b, 'add', inputs));
}

/**
 * o = a * b element by element, b repeated along the leading axes of a.
 *
 * @throws ShapeError, DTypeError for operands that do not fit.
 * @example const { o } = await mul({ a: gate, b: x })
 */
export function mul(inputs: BinaryInputs): Promise<{ o: Tensor }> {
  return run('mul', inputs, (b) => planBinary(b, 'mul', inputs));
}

/** As `mul`, to the end before it returns. */
export function mulSync(inputs: BinaryInputs): { o: Tensor } {
  return runSync('mul', inputs, (b) => planBinary(b, 'mul', inputs));
}
