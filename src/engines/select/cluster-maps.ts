/**
 * What clusters of keys weigh, and the labels of tokens sorted by cluster.
 *
 * @module
 */
import { ClusterMapParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields } from './map.ts';

/** Adds map [B, H, R, C] += ln counts, i32 [B, Hkv, C], in place: -Infinity where a cluster is empty. */
export function addLogCounts(b: Builder, map: Tensor, counts: Tensor): void {
  const [batch, lists, , columns] = map.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'addLogCounts',
    params: encode(ClusterMapParams, mapFields(map, undefined), {
      counts: counts.address,
      group: lists / counts.shape[1]!,
    }),
    items: batch * lists,
    scratchBytes: columns * 4,
    flops: map.size,
  });
}

/** Adds labels i32 [B, lists, length] of tokens that offsets i32 [B, L, count + 1] has sorted, list l as list floor(l * L / lists). */
export function spreadLabels(b: Builder, offsets: Tensor, lists: number, length: number): Tensor {
  const [batch, own, ends] = offsets.shape as [number, number, number];
  const labels = b.temporary([batch, lists, length], 'i32');
  b.dispatch({
    kernel: 'spreadLabels',
    params: encode(ClusterMapParams, {
      counts: offsets.address,
      columns: ends - 1,
      group: lists / own,
      labels: labels.address,
      length,
    }),
    items: batch * lists,
    flops: labels.size,
  });
  return labels;
}
