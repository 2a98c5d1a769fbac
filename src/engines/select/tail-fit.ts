/**
 * Tokens cluster by cluster, as few as hold a share of the softmax by a curve through a sample of it.
 *
 * @module
 */
import { TailFitParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { ForcedKeys } from './listed.ts';
import { mapFields } from './map.ts';
import { scoreMap } from './score-map.ts';
import { sortByLabel } from './sort.ts';

/** What is chosen from. */
export interface TailFitCall extends ForcedKeys {
  /** [B, Tq, Hq, D], [B, Tk, Hkv, D], [B, C, Hkv, D], i32 [B, Hkv, Tk] */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly centroids: Tensor;
  readonly labels: Tensor;
  readonly scale: number;
  readonly share: number;
  readonly exact: number;
  readonly samples: number;
}

/** Adds bits i32 [B, Hq, Tq, W] of the chosen tokens. */
export function tailFit(b: Builder, call: TailFitCall): Tensor {
  const { q, k, centroids, labels, scale, share, exact, samples, first, last } = call;
  const [batch, rows, heads, d] = q.shape as [number, number, number, number];
  const [length, kvHeads] = [k.shape[1]!, k.shape[2]!];
  const map = scoreMap(b, { q, k: centroids, scale: 1 });
  const { order, offsets } = sortByLabel(b, labels, centroids.shape[1]!);
  const words = Math.ceil(length / 32);
  const bits = b.temporary([batch, heads, rows, words], 'i32');
  const params = encode(TailFitParams, mapFields(map, undefined), {
    qType: storageOf(q),
    kType: storageOf(k),
    order: order.address,
    offsets: offsets.address,
    bits: bits.address,
    words,
    length,
    group: heads / kvHeads,
    d,
    scale,
    share,
    exact,
    samples,
    first,
    last,
  });
  encodePlaces(TailFitParams, params, { q, k });
  b.dispatch({
    kernel: 'tailFit',
    params,
    items: batch * heads * rows,
    scratchBytes: b.runtime.scratchBytes('tailFitScratchBytes', params),
    flops: batch * heads * rows * (2 * d * (exact + samples) + 8 * length),
  });
  return bits;
}
