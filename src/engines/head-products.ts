/**
 * Rows of each head times a matrix of that head.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { gemm, gemmPack, packedSize } from './gemm.ts';

/** Adds f32 [B, T, Hw, N] = x[.., floor(h * H / Hw), :] w[h]; x f32 [B, T, H, K] contiguous, w [Hw, K, N] of any storage, rows contiguous. */
export function headProducts(b: Builder, x: Tensor, w: Tensor): Tensor {
  const [batch, length, heads, k] = x.shape as [number, number, number, number];
  const [lists, , n] = w.shape as [number, number, number];
  const o = b.temporary([batch, length, lists, n]);
  if (o.size === 0) return o;
  const size = packedSize(k, n);
  const bPack = b.temporary([lists, size]);
  gemmPack(b, w, false, bPack.address);
  const group = lists / heads;
  // heads that share their rows are as many products: those of one place in their groups lie one stride apart
  for (let i = 0; i < group; ++i) {
    gemm(b, {
      a: x.address,
      aStride: heads * k,
      bPack: bPack.address + 4 * i * size,
      o: o.address + 4 * i * n,
      oStride: lists * n,
      bias: 0,
      m: batch * length,
      k,
      n,
      activation: 'none',
      batch: [heads, k, group * size, group * n],
    });
  }
  return o;
}
