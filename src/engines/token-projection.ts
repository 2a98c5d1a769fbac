/**
 * Linear maps along the tokens of a sequence.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { gemm, gemmPack, packedSize } from './gemm.ts';

/**
 * Adds the rows y_m = sum_t matrix[m, t] x_t of every head: [B, M, H, D] of x [B, T, H, D], any float storage and strides, last axis
 * contiguous. `matrix` f32 [M, T] or, one for each head, [H, M, T], last axis contiguous.
 */
export function projectTokens(b: Builder, x: Tensor, matrix: Tensor): Tensor {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [strideB, strideT, strideH] = x.strides as [number, number, number];
  const M = matrix.shape.at(-2)!;
  const o = b.temporary([B, M, H, D]);
  const product = {
    a: matrix.address,
    aStride: matrix.strides.at(-2)!,
    oStride: H * D,
    bias: 0,
    m: M,
    k: T,
    activation: 'none',
  } as const;
  const shared = matrix.shape.length === 2;
  if (shared && (H === 1 || strideH === D)) {
    // heads side by side are columns of one matrix
    const size = packedSize(T, H * D);
    const bPack = b.temporary([B, size]).address;
    gemmPack(b, x.restride([B, T, H * D], [strideB, strideT, 1]), false, bPack);
    gemm(b, { ...product, bPack, o: o.address, n: H * D, batch: [B, 0, size, M * H * D] });
    return o;
  }
  const size = packedSize(T, D);
  const matrixStride = shared ? 0 : matrix.strides[0]!;
  for (let batch = 0; batch < B; ++batch) {
    const bPack = b.temporary([H, size]).address;
    gemmPack(b, x.slice(0, batch, batch + 1).restride([H, T, D], [strideH, strideT, 1]), false, bPack);
    const to = o.address + 4 * batch * M * H * D;
    gemm(b, { ...product, bPack, o: to, n: D, batch: [H, matrixStride, size, D] });
  }
  return o;
}
