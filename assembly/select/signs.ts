import { OutwardParams, SignsParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/**
 * Rows as what is above 0 and what is below: their product with the largest and least of numbers bounds that with any of them.
 *
 *   x  f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   o  f32 [B, T, H, 2, d]             contiguous; must not alias x
 *
 *   o_0c = max(x_c, 0), o_1c = min(x_c, 0), so that o_0 max y + o_1 min y = sum_c max(x_c max y_c, x_c min y_c). Quest (Tang 2024).
 *
 * Item: one (batch, token, head).
 */
export function splitSigns(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<SignsParams>(params);
  const rowBytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const token = item / p.heads;
    const h = item - token * p.heads;
    const batch = token / p.length;
    const t = token - batch * p.length;
    const at = batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH;
    const above = p.o + <usize>item * (rowBytes << 1);
    const below = above + rowBytes;
    widenRow(p.x + <usize>at * elementBytes(p.xType), p.xType, below, p.d, 1);
    for (let c: usize = 0; c < rowBytes; c += 4) {
      const x = load<f32>(below + c);
      store<f32>(above + c, max<f32>(x, 0));
      store<f32>(below + c, min<f32>(x, 0));
    }
  }
}

/** The upper 16 bits of x, or those of the next number of 16 bits away from zero where others were set; NaN stays NaN. */
// @ts-ignore: decorator
@inline
function awayFromZero(bits: u32): u32 {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >> 16) | 0x40;
  return (bits >> 16) + <u32>((bits & 0xffff) != 0);
}

/**
 * Bounds in 16 bits that bound what the given ones bound: the largest rounded up, the least down.
 *
 *   x  f32 [B, H, pages, 2, d]    contiguous
 *   o  bf16 [B, H, pages, 2, d]   any strides, last two axes contiguous
 *
 * Item: one page of a head.
 */
export function roundOutward(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<OutwardParams>(params);
  for (let item = begin; item < end; ++item) {
    const list = item / p.pages;
    const batch = list / p.heads;
    const at = batch * p.oStrideB + (list - batch * p.heads) * p.oStrideH + (item - list * p.pages) * p.oStrideP;
    const x = p.x + ((<usize>(item * 2 * p.d)) << 2);
    const o = p.o + ((<usize>at) << 1);
    for (let c = 0; c < 2 * p.d; ++c) {
      const bits = load<u32>(x + ((<usize>c) << 2));
      // largest numbers below zero and least ones above are bounded by what is cut off
      const inward = <i32>(bits >> 31) == <i32>(c < p.d);
      const nan = (bits & 0x7fffffff) > 0x7f800000;
      store<u16>(o + ((<usize>c) << 1), <u16>(inward && !nan ? bits >> 16 : awayFromZero(bits)));
    }
  }
}
