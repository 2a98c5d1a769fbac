/**
 * Copies between layouts.
 *
 * @module
 */
import { CopyParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';

/** Adds o = x for tensors [B, T, H, D] of one shape, last axes contiguous; strides of x may be 0. */
export function copyRows(b: Builder, x: Tensor, o: Tensor): void {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'copy',
    params: encode(CopyParams, {
      x: x.address,
      xStrideB: x.strides[0]!,
      xStrideT: x.strides[1]!,
      xStrideH: x.strides[2]!,
      xType: storageOf(x),
      o: o.address,
      oStrideB: o.strides[0]!,
      oStrideT: o.strides[1]!,
      oStrideH: o.strides[2]!,
      length,
      heads,
      d,
    }),
    items: batch * length,
    grain: Math.max(1, Math.ceil(8192 / Math.max(1, heads * d))),
    flops: x.size,
  });
}

/** x [B, T, H, D], or a copy of it without gaps. */
export function packed(b: Builder, x: Tensor): Tensor {
  if (x.contiguous) return x;
  const o = b.temporary(x.shape);
  copyRows(b, x, o);
  return o;
}
