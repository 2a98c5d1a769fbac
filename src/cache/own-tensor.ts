/**
 * Memory of a cache's own.
 *
 * @module
 */
import type { Runtime } from '../runtime/runtime.ts';
import { bytesOf, contiguousStrides, type DType, sizeOf, Tensor } from '../tensor.ts';

/** A tensor that lives until it is disposed, whatever scope it is made in. */
export function ownTensor(rt: Runtime, shape: readonly number[], dtype: DType = 'f32'): Tensor {
  const at = rt.allocate(sizeOf(shape) * bytesOf(dtype));
  return new Tensor(rt, dtype, shape, contiguousStrides(shape), { at, disposed: false }, 0);
}
