import { LinearParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { ItemScratch } from './workspace';

/** n values of any storage type as f32 whose last vector is padded: in place where that is so already, else in `row`. */
// @ts-ignore: decorator
@inline
export function paddedRow(src: usize, type: i32, n: i32, padded: bool, row: usize): usize {
  if (type == F32 && padded) return src;
  widenRow(src, type, row, n, 1);
  return row;
}

/** Address of a row [batch, token, head] of a tensor. */
// @ts-ignore: decorator
@inline
export function rowAt(
  base: usize,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  bytes: usize,
  batch: i32,
  token: i32,
  head: i32,
): usize {
  const element = <usize>batch * <usize>strideB + <usize>token * <usize>strideT + <usize>head * <usize>strideH;
  return base + element * bytes;
}

/** A per-token value of a head, in a contiguous f32 [B, T, HV]. */
// @ts-ignore: decorator
@inline
export function tokenValue(base: usize, p: LinearParams, w: ItemScratch, token: i32): f32 {
  const at = <usize>((w.batch * p.length + w.start + token) * p.heads + w.head);
  return load<f32>(base + (at << 2));
}

/** Row [token of the item's sequence, head] of an operand of n values; `row` takes it where it cannot be read in place. */
export function operandRow(
  base: usize,
  strideB: i32,
  strideT: i32,
  strideH: i32,
  type: i32,
  w: ItemScratch,
  token: i32,
  head: i32,
  n: i32,
  row: usize,
): usize {
  const at = rowAt(base, strideB, strideT, strideH, elementBytes(type), w.batch, w.start + token, head);
  return paddedRow(at, type, n, (n & 3) == 0, row);
}

/** The query of a token that may be behind the last; `row` takes it where it cannot be read in place. */
export function queryRow(p: LinearParams, w: ItemScratch, token: i32, row: usize): usize {
  if (token >= w.length || !p.q) return w.zeros;
  return operandRow(p.q, p.qStrideB, p.qStrideT, p.qStrideH, p.qType, w, token, w.keyHead, p.dk, row);
}

/** The item's columns of a token's value; `row` takes it where it cannot be read in place. */
export function valueRow(p: LinearParams, w: ItemScratch, token: i32, row: usize): usize {
  if (token < 0) return w.vZeros;
  const bytes = elementBytes(p.vType);
  const at = rowAt(p.v, p.vStrideB, p.vStrideT, p.vStrideH, bytes, w.batch, w.start + token, w.head);
  return paddedRow(at + <usize>w.column * bytes, p.vType, w.width, (w.width & 7) == 0, row);
}
