/**
 * Bits as the weights of a matrix product.
 *
 * @module
 */
import { BitWeightsParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds f32 [B, L, R, columns] of bits i32 [B, L, R, W], contiguous: 1 where a bit is `value`, else 0. */
export function bitWeights(b: Builder, bits: Tensor, columns: number, value: 0 | 1): Tensor {
  const [batch, lists, rows, words] = bits.shape as [number, number, number, number];
  const weights = b.temporary([batch, lists, rows, columns]);
  b.dispatch({
    kernel: 'bitWeights',
    params: encode(BitWeightsParams, { bits: bits.address, words, weights: weights.address, columns, value }),
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    flops: weights.size,
  });
  return weights;
}
