import { NarrowParams } from '../params';
import { elementBytes, F16, f32ToBf16, f32ToHalf } from '../simd/storage';

/** dst[n] = src[n] rounded to the nearest 16-bit float. */
export function narrowRow(src: usize, dst: usize, type: i32, n: i32): void {
  for (let i: usize = 0; i < <usize>n; ++i) {
    const x = load<f32>(src + (i << 2));
    store<u16>(dst + (i << 1), type == F16 ? f32ToHalf(x) : f32ToBf16(x));
  }
}

/**
 * Copies rows between layouts: as they are, or f32 rounded to 16-bit floats.
 *
 *   x  [B, T, H, d]  of o's type, or f32; any strides (0 repeats), last axis contiguous
 *   o  [B, T, H, d]  any type of 1, 2 or 4 bytes, f16 or bf16 if x is f32; any strides, last axis contiguous; must not alias x
 *
 * Item: one (batch, time), all heads.
 */
export function narrow(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<NarrowParams>(params);
  const xBytes = elementBytes(p.xType);
  const oBytes = elementBytes(p.oType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH) * xBytes;
      const o = p.o + <usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH) * oBytes;
      if (p.xType == p.oType) memory.copy(o, x, <usize>p.d * xBytes);
      else narrowRow(x, o, p.oType, p.d);
    }
  }
}
