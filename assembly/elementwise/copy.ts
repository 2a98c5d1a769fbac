import { CopyParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';

/**
 * Copies rows between layouts, widening 16-bit floats.
 *
 *   x  [B, T, H, d]      f32, f16, bf16 or i8; any strides (0 repeats), last axis contiguous
 *   o  f32 [B, T, H, d]  any strides, last axis contiguous; must not alias x
 *
 * Item: one (batch, time), all heads.
 */
export function copy(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CopyParams>(params);
  const bytes = elementBytes(p.xType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH) * bytes;
      const o = p.o + ((<usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH)) << 2);
      if (p.xType == F32) memory.copy(o, x, (<usize>p.d) << 2);
      else widenRow(x, p.xType, o, p.d, 1);
    }
  }
}
