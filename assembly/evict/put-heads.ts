import { narrowRow } from '../elementwise/narrow';
import { PutHeadsParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';

/**
 * Copies heads in another order, or some of them.
 *
 *   x      [B, T, X, d]   f32, or of o's type; any strides, last axis contiguous, as for o
 *   o      [B, T, H, d]   f32, f16 or bf16; must not alias x
 *   order  i32 [H]        head of x that each head of o is; contiguous
 *
 * Item: one (batch, time), all heads.
 */
export function putHeads(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<PutHeadsParams>(params);
  const xBytes = elementBytes(p.xType);
  const oBytes = elementBytes(p.oType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const from = load<i32>(p.order + ((<usize>h) << 2));
      const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + from * p.xStrideH) * xBytes;
      const o = p.o + <usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH) * oBytes;
      if (p.xType == p.oType) memory.copy(o, x, <usize>p.d * xBytes);
      else if (p.oType == F32) widenRow(x, p.xType, o, p.d, 1);
      else narrowRow(x, o, p.oType, p.d);
    }
  }
}
