import { OuterSumParams } from '../params';
import { fma } from '../simd/fma';
import { elementBytes, widenRow } from '../simd/storage';

/** Floats of a row of either factor in scratch. */
// @ts-ignore: decorator
@inline
function padded(n: i32): usize {
  return <usize>((n + 3) & ~3);
}

/** Bytes of scratch that one thread of `outerSum` needs. */
export function outerSumScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<OuterSumParams>(params);
  return <i32>((<usize>p.rank * (padded(p.heads) + padded(p.d)) + padded(p.d)) << 2);
}

/**
 * Rows of heads from their factors.
 *
 *   a  [B, T, R, H]       f32, f16 or bf16; any strides, last axis contiguous
 *   b  [B, T, R, D]       likewise
 *   o  f32 [B, T, H, D]   contiguous; must not alias a or b
 *
 *   o_h = scale sum_r a_r[h] b_r.  Tensor Product Attention (Zhang 2025), eq. of Q, K and V.
 *
 * Item: one token. Scratch: outerSumScratchBytes.
 */
export function outerSum(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<OuterSumParams>(params);
  const aBytes = padded(p.heads) << 2;
  const bBytes = padded(p.d) << 2;
  const a = scratch;
  const b = a + <usize>p.rank * aBytes;
  const row = b + <usize>p.rank * bBytes;
  // lanes past the end are computed and not stored: they must be numbers
  for (let at = b; at < row; at += 16) v128.store(at, i32x4.splat(0));
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    const aRow = p.a + <usize>(batch * p.aStrideB + t * p.aStrideT) * elementBytes(p.aType);
    const bRow = p.b + <usize>(batch * p.bStrideB + t * p.bStrideT) * elementBytes(p.bType);
    for (let r = 0; r < p.rank; ++r) {
      widenRow(
        aRow + <usize>(r * p.aStrideR) * elementBytes(p.aType),
        p.aType,
        a + <usize>r * aBytes,
        p.heads,
        p.scale,
      );
      widenRow(bRow + <usize>(r * p.bStrideR) * elementBytes(p.bType), p.bType, b + <usize>r * bBytes, p.d, 1);
    }
    let out = p.o + ((<usize>item * <usize>(p.heads * p.d)) << 2);
    const rowBytes = (<usize>p.d) << 2;
    for (let h: usize = 0; h < (<usize>p.heads) << 2; h += 4) {
      for (let c: usize = 0; c < bBytes; c += 16) {
        let sum = i32x4.splat(0);
        let weight = a + h;
        let from = b + c;
        for (let r = p.rank; r > 0; --r) {
          sum = fma(v128.load_splat<f32>(weight), v128.load(from), sum);
          weight += aBytes;
          from += bBytes;
        }
        v128.store(row + c, sum);
      }
      memory.copy(out, row, rowBytes);
      out += rowBytes;
    }
  }
}
