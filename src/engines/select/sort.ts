/**
 * Tokens sorted by labels.
 *
 * @module
 */
import { SortLabelsParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';

/** Tokens in the order of their labels. */
export interface LabelOrder {
  /** i32 [B, L, T]: the token at each place. */
  readonly order: Tensor;
  /** i32 [B, L, count + 1]: the first place of each label, and one past the last. */
  readonly offsets: Tensor;
}

/** Adds the stable order of labels i32 [B, L, T]; a token with a label outside [0, count) comes behind all others. */
export function sortByLabel(b: Builder, labels: Tensor, count: number): LabelOrder {
  const [batch, lists, length] = labels.shape as [number, number, number];
  const order = b.temporary([batch, lists, length], 'i32');
  const offsets = b.temporary([batch, lists, count + 1], 'i32');
  b.dispatch({
    kernel: 'sortLabels',
    params: encode(SortLabelsParams, {
      labels: labels.address,
      labelsStrideB: labels.strides[0]!,
      labelsStrideH: labels.strides[1]!,
      lists,
      length,
      count,
      order: order.address,
      offsets: offsets.address,
    }),
    items: batch * lists,
    flops: 4 * labels.size,
  });
  return { order, offsets };
}
