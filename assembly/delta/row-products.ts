import { RowProductsParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/** Where row (batch, t, head) of a tensor with elements of `bytes` lies. */
// @ts-ignore: decorator
@inline
function rowAt(at: usize, bytes: usize, strideB: i32, strideT: i32, strideH: i32, b: i32, t: i32, h: i32): usize {
  return at + <usize>(b * strideB + t * strideT + h * strideH) * bytes;
}

/** o[n] *= y[n]. */
function multiplyRow(o: usize, y: usize, n: i32): void {
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(o + i, f32x4.mul(v128.load(o + i), v128.load(y + i)));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(o + i, load<f32>(o + i) * load<f32>(y + i));
}

/** o[n] += x[n]. */
function addRow(o: usize, x: usize, n: i32): void {
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(o + i, f32x4.add(v128.load(o + i), v128.load(x + i)));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(o + i, load<f32>(o + i) + load<f32>(x + i));
}

/**
 * Rows times gates: o = base + factor x y.
 *
 *   x     any storage [B, T, H, d]  any strides, last axis contiguous
 *   y     f32 [B, T, H, d]          likewise (0 repeats); with ySplat f32 [B, T, H], one for a row
 *   base  any storage [B, T, H, d]  likewise; absent: 0
 *   o     f32 [B, T, H, d]          contiguous; must not alias the others
 *
 * Item: one (batch, time), all heads. Scratch: d floats, where there is a base.
 */
export function rowProducts(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<RowProductsParams>(params);
  const xBytes = elementBytes(p.xType);
  const baseBytes = elementBytes(p.baseType);
  const bytes = (<usize>p.d) << 2;
  for (let item = begin; item < end; ++item) {
    const b = item / p.length;
    const t = item - b * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const x = rowAt(p.x, xBytes, p.xStrideB, p.xStrideT, p.xStrideH, b, t, h);
      const y = rowAt(p.y, 4, p.yStrideB, p.yStrideT, p.yStrideH, b, t, h);
      const o = p.o + <usize>(item * p.heads + h) * bytes;
      widenRow(x, p.xType, o, p.d, p.ySplat ? p.factor * load<f32>(y) : p.factor);
      if (!p.ySplat) multiplyRow(o, y, p.d);
      if (p.base) {
        const base = rowAt(p.base, baseBytes, p.baseStrideB, p.baseStrideT, p.baseStrideH, b, t, h);
        widenRow(base, p.baseType, scratch, p.d, 1);
        addRow(o, scratch, p.d);
      }
    }
  }
}
