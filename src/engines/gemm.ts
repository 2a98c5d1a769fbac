/**
 * Host side of the matrix-product engine.
 *
 * @module
 */
import { GemmPackParams, GemmParams } from '../generated/params.ts';
import { encode } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';

/** What is applied to each element of a product. */
export type Activation = 'none' | 'relu' | 'silu' | 'geluTanh';

export const ACTIVATIONS: readonly Activation[] = ['none', 'relu', 'silu', 'geluTanh'];

const BLOCK_M = 48;
const BLOCK_N = 256;
/** Most rows of a tile in any build. */
const TILE_ROWS = 6;

/** Floats of a packed [k, n] matrix. */
export function packedSize(k: number, n: number): number {
  return Math.ceil(n / 8) * 8 * k;
}

/** Adds the packing of b [..., k, n] ([..., n, k] if transposed, last axis contiguous) to `bPack`. */
export function gemmPack(b: Builder, matrix: Tensor, transposed: boolean, bPack: number): void {
  const [rows, columns] = matrix.shape.slice(-2) as [number, number];
  const [k, n] = transposed ? [columns, rows] : [rows, columns];
  const count = matrix.shape.length > 2 ? matrix.shape[0]! : 1;
  b.dispatch({
    kernel: 'gemmPack',
    params: encode(GemmPackParams, {
      b: matrix.address,
      bStride: matrix.strides.at(-2)!,
      bStrideB: count > 1 ? matrix.strides[0]! : 0,
      bType: storageOf(matrix),
      transposed: transposed ? 1 : 0,
      bPack,
      k,
      n,
    }),
    items: count * Math.ceil(n / 8),
    grain: 4,
    scratchBytes: 8 * k * 4,
    flops: 2 * count * k * n,
  });
}

/** One product with a packed right operand. */
export interface GemmCall {
  readonly a: number;
  readonly aStride: number;
  readonly bPack: number;
  readonly o: number;
  readonly oStride: number;
  readonly bias: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly activation: Activation;
  /** A batch of products: how many, and strides in a, bPack and o. */
  readonly batch?: readonly [count: number, a: number, b: number, o: number];
}

const NO_BATCH = [1, 0, 0, 0] as const;

/** Adds o = activation(a b + bias). */
export function gemm(b: Builder, call: GemmCall): void {
  const [count, aStrideB, bStrideB, oStrideB] = call.batch ?? NO_BATCH;
  const { a, aStride, bPack, o, oStride, bias, m, k, n } = call;
  b.dispatch({
    kernel: 'gemm',
    params: encode(GemmParams, {
      a,
      aStride,
      bPack,
      o,
      oStride,
      bias,
      m,
      k,
      n,
      activation: ACTIVATIONS.indexOf(call.activation),
      blockM: BLOCK_M,
      blockN: BLOCK_N,
      aStrideB,
      bStrideB,
      oStrideB,
    }),
    items: count * Math.ceil(m / BLOCK_M) * Math.ceil(n / BLOCK_N),
    scratchBytes: TILE_ROWS * (k * 4 + 32) + 16,
    flops: 2 * count * m * k * n,
  });
}
