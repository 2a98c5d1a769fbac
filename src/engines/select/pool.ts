/**
 * Rows pooled by blocks of tokens or by labels.
 *
 * @module
 */
import { PoolParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { REDUCTIONS, type Reduction } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds [B, ceil(T / block), H, D] of x [B, T, H, D], `into` a tensor of it or one of its own; a last, shorter block is of its own rows only. */
export function poolBlocks(b: Builder, x: Tensor, block: number, kind: Reduction, into?: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const count = Math.ceil(length / block);
  const o = into ?? b.temporary([batch, count, heads, d]);
  const params = encode(PoolParams, {
    length,
    heads,
    d,
    block,
    count,
    xType: storageOf(x),
    kind: REDUCTIONS.indexOf(kind),
  });
  encodePlaces(PoolParams, params, { x, o });
  b.dispatch({
    kernel: 'poolBlocks',
    params,
    items: batch * count,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d * block))),
    scratchBytes: d * 4,
    flops: x.size,
  });
  return o;
}

/** What is pooled by labels. */
export interface Pooled {
  /** f32 [B, count, H, D]; zeros where no row is. */
  readonly rows: Tensor;
  /** i32 [B, H, count]: rows of each label. */
  readonly counts: Tensor;
}

/**
 * Adds the pooled rows of x [B, T, H, D] of each label: i32 [B, L, T], L lists for H heads; labels outside [0, count) belong nowhere.
 * A label without rows gives those of `fallback` f32 [B, count, H, D], or zeros.
 */
export function poolLabels(
  b: Builder,
  x: Tensor,
  labels: Tensor,
  count: number,
  kind: Reduction,
  fallback?: Tensor,
): Pooled {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const rows = b.temporary([batch, count, heads, d]);
  const counts = b.temporary([batch, heads, count], 'i32');
  const params = encode(PoolParams, {
    length,
    heads,
    d,
    count,
    xType: storageOf(x),
    kind: REDUCTIONS.indexOf(kind),
    labels: labels.address,
    labelsStrideB: labels.strides[0]!,
    labelsStrideH: labels.strides[1]!,
    lists: labels.shape[1]!,
    counts: counts.address,
  });
  encodePlaces(PoolParams, params, { x, o: rows, fallback });
  b.dispatch({
    kernel: 'poolLabels',
    params,
    items: batch * heads,
    scratchBytes: d * 4,
    flops: x.size + rows.size,
  });
  return { rows, counts };
}
