/**
 * Sums and products of tensors, element by element.
 *
 * @module
 */
import { BinaryParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';

/** Elements of one work item of the kernel. */
const SPAN = 4096;

function binary(b: Builder, operation: number, x: Tensor, y: Tensor, o: Tensor): void {
  b.dispatch({
    kernel: 'binary',
    params: encode(BinaryParams, { a: x.address, b: y.address, o: o.address, n: x.size, period: y.size, operation }),
    items: Math.ceil(x.size / SPAN),
    flops: x.size,
  });
}

/** Adds o = x + y, all contiguous, y repeated along the leading axes of x; o may be x. */
export function sum(b: Builder, x: Tensor, y: Tensor, o: Tensor): void {
  binary(b, 0, x, y, o);
}

/** Adds o = x * y, likewise. */
export function multiply(b: Builder, x: Tensor, y: Tensor, o: Tensor): void {
  binary(b, 1, x, y, o);
}
