/**
 * Landmarks of Nyströmformer: means of segments of tokens, and the pseudo-inverse of their attention.
 *
 * @module
 */
import { PseudoInverseParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import { copyRows } from './copy.ts';
import { gemm, gemmPack, packedSize } from './gemm.ts';
import { poolBlocks } from './select/pool.ts';

/**
 * Adds the means [B, count, H, D] of `count` segments of x [B, T, H, D], at most T of them. Where they cannot be equal the last
 * T mod count have one token more.
 */
export function landmarks(b: Builder, x: Tensor, count: number): Tensor {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const length = Math.floor(T / count);
  const longer = T - length * count;
  if (longer === 0) return poolBlocks(b, x, length, 'mean');
  const cut = (count - longer) * length;
  const o = b.temporary([B, count, H, D]);
  copyRows(b, poolBlocks(b, x.slice(1, 0, cut), length, 'mean'), o.slice(1, 0, count - longer));
  copyRows(b, poolBlocks(b, x.slice(1, cut, T), length + 1, 'mean'), o.slice(1, count - longer, count));
  return o;
}

/** Adds nearly the pseudo-inverses of k [B, H, m, m], rows of which sum to 1; `shared`: one divisor to begin with for all matrices. */
export function pseudoInverse(b: Builder, k: Tensor, iterations: number, shared: boolean): Tensor {
  const [B, H, n] = k.shape as [number, number, number, number];
  const o = b.temporary(k.shape);
  const params = encode(PseudoInverseParams, {
    k: k.address,
    most: b.temporary([B, H]).address,
    o: o.address,
    matrices: B * H,
    n,
    iterations,
    shared: shared ? 1 : 0,
  });
  b.dispatch({ kernel: 'columnSums', params, items: B * H, flops: k.size });
  b.dispatch({
    kernel: 'pseudoInverse',
    params,
    items: B * H,
    scratchBytes: b.runtime.scratchBytes('pseudoInverseScratchBytes', params),
    flops: iterations * 8 * B * H * n ** 3,
  });
  return o;
}

/** Adds the products [B, m, H, D] of matrices [B, H, m, m] and rows x [B, m, H, D], both contiguous. */
export function headProducts(b: Builder, matrices: Tensor, x: Tensor): Tensor {
  const [B, m, H, D] = x.shape as [number, number, number, number];
  const o = b.temporary(x.shape);
  const size = packedSize(m, D);
  for (let batch = 0; batch < B; ++batch) {
    const bPack = b.temporary([H, size]).address;
    gemmPack(b, x.slice(0, batch, batch + 1).restride([H, m, D], [D, H * D, 1]), false, bPack);
    gemm(b, {
      a: matrices.address + 4 * batch * H * m * m,
      aStride: m,
      bPack,
      o: o.address + 4 * batch * m * H * D,
      oStride: H * D,
      bias: 0,
      m,
      k: m,
      n: D,
      activation: 'none',
      batch: [H, m * m, size, D],
    });
  }
  return o;
}
