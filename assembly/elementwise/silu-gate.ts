import { CopyParams } from '../params';
import { activate4, SILU } from '../simd/activation';
import { elementBytes, widenRow } from '../simd/storage';

/**
 * o = o * x / (1 + e^-x), in place.
 *
 *   x  [B, T, H, d]      f32, f16, bf16 or i8; any strides, last axis contiguous
 *   o  f32 [B, T, H, d]  any strides, last axis contiguous; must not alias x
 *
 * Item: one (batch, time), all heads. Scratch: f32 [d rounded up to 4].
 */
export function siluGate(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<CopyParams>(params);
  const bytes = elementBytes(p.xType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH) * bytes;
      const o = p.o + ((<usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH)) << 2);
      widenRow(x, p.xType, scratch, p.d, 1);
      let i: usize = 0;
      for (const whole = (<usize>(p.d & ~3)) << 2; i < whole; i += 16) {
        v128.store(o + i, f32x4.mul(v128.load(o + i), activate4(v128.load(scratch + i), SILU)));
      }
      for (const all = (<usize>p.d) << 2; i < all; i += 4) {
        const gate = f32x4.extract_lane(activate4(v128.load32_splat(scratch + i), SILU), 0);
        store<f32>(o + i, load<f32>(o + i) * gate);
      }
    }
  }
}
