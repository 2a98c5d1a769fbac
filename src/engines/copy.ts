/**
 * Copies between layouts.
 *
 * @module
 */
import { CopyParams } from '../generated/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { overTokens } from './tokens.ts';

/** Adds o = x for tensors [B, T, H, D] of one shape, last axes contiguous; strides of x may be 0. */
export function copyRows(b: Builder, x: Tensor, o: Tensor): void {
  overTokens(b, 'copy', CopyParams, { x, o }, { xType: storageOf(x) }, { flops: 1, elements: 8192 });
}

/** x [B, T, H, D], or a copy of it without gaps. */
export function packed(b: Builder, x: Tensor): Tensor {
  if (x.contiguous) return x;
  const o = b.temporary(x.shape);
  copyRows(b, x, o);
  return o;
}
