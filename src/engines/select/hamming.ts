/**
 * Signatures of rows, and how well they agree.
 *
 * @module
 */
import { HammingParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { sum } from '../binary.ts';
import { asFloats, packed } from '../copy.ts';
import { silu } from '../features.ts';
import { headProducts } from '../head-products.ts';
import { simHash } from './hash.ts';
import { mapFields, type Visible } from './map.ts';

/** What signatures are made by. */
export interface SignatureNet {
  /** f32 [H or 1, N, bits], contiguous; N is D, or of a hidden layer. */
  readonly planes: Tensor;
  /** f32 [H, D, N] and [H, N], contiguous: a hidden layer silu(x w + bias). */
  readonly w?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
}

/** Adds signatures i32 [B, H, T] of x [B, T, H, D]: bit j says whether row times plane j is above 0. */
export function signatures(b: Builder, x: Tensor, { planes, w, bias }: SignatureNet): Tensor {
  const [lists, n, bits] = planes.shape as [number, number, number];
  let rows = x;
  if (w) {
    rows = headProducts(b, packed(b, asFloats(b, x)), w);
    if (bias) sum(b, rows, bias, rows);
    silu(b, rows, rows);
  }
  return simHash(b, rows, planes.restride([lists, n, 1, bits], [n * bits, bits, bits, 1]));
}

/** Adds a map f32 [B, Hq, Tq, Tk] of bits that agree less bits that do not, of signatures i32 [B, Hq, Tq] and [B, Hkv, Tk]. */
export function hammingScores(b: Builder, q: Tensor, k: Tensor, bits: number, visible: Visible): Tensor {
  const [batch, heads, length] = q.shape as [number, number, number];
  const [, kvHeads, columns] = k.shape as [number, number, number];
  const map = b.temporary([batch, heads, length, columns]);
  b.dispatch({
    kernel: 'hammingScores',
    params: encode(HammingParams, mapFields(map, visible), {
      q: q.address,
      qStrideB: q.strides[0]!,
      qStrideH: q.strides[1]!,
      qStrideT: q.strides[2]!,
      k: k.address,
      kStrideB: k.strides[0]!,
      kStrideH: k.strides[1]!,
      group: heads / kvHeads,
      bits,
    }),
    items: batch * heads * length,
    flops: 4 * map.size,
  });
  return map;
}
