/**
 * Copies between layouts.
 *
 * @module
 */
import { CopyParams, NarrowParams } from '../generated/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { overTokens } from './tokens.ts';

/** Number by which the kernel that keeps elements as they are knows how many bytes they have. */
const FOUR_BYTES = 0;

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

/** x [B, T, H, D] of any storage, or a copy of it in f32. */
export function asFloats(b: Builder, x: Tensor): Tensor {
  if (x.dtype === 'f32') return x;
  const o = b.temporary(x.shape);
  copyRows(b, x, o);
  return o;
}

/** x [B, T, H, D], or a copy of it with every head `times` times, one after another. */
export function repeatedHeads(b: Builder, x: Tensor, times: number): Tensor {
  if (times === 1) return x;
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const o = b.temporary([B, T, H * times, D]);
  const [strideB, strideT, strideH] = o.strides as [number, number, number];
  for (let i = 0; i < times; ++i) {
    copyRows(b, x, o.slice(2, i, H * times).restride([B, T, H, D], [strideB, strideT, times * strideH, 1]));
  }
  return o;
}

/** Adds o = x for i32 tensors [B, H, n] of one shape, last axes contiguous. */
export function copyIntegers(b: Builder, x: Tensor, o: Tensor): void {
  const rows = (tensor: Tensor) =>
    tensor.restride([...tensor.shape.slice(0, 2), 1, tensor.shape[2]!], [...tensor.strides.slice(0, 2), 0, 1]);
  const types = { xType: FOUR_BYTES, oType: FOUR_BYTES };
  overTokens(b, 'narrow', NarrowParams, { x: rows(x), o: rows(o) }, types, { flops: 1, elements: 8192 });
}

/** Adds o = x for tensors [B, T, H, D] of one shape, last axes contiguous: x f32 or of o's type, o f32, f16 or bf16. */
export function storeRows(b: Builder, x: Tensor, o: Tensor): void {
  if (o.dtype === 'f32') {
    copyRows(b, x, o);
    return;
  }
  const types = { xType: storageOf(x), oType: storageOf(o) };
  overTokens(b, 'narrow', NarrowParams, { x, o }, types, { flops: 1, elements: 8192 });
}
