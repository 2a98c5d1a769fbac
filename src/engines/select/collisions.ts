/**
 * Tables of hashes: in how many a key meets a query, and what its logit lacks for having been sampled.
 *
 * @module
 */
import { CentreParams, CollisionParams, SamplingBiasParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { IndexLists } from './bits.ts';
import { type ForcedKeys, listedFields } from './listed.ts';
import { mapFields, type Visible } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds f32 [B, T, H, D]: x [B, T, H, D] less the mean [B, H, D] of its head. */
export function centreRows(b: Builder, x: Tensor, mean: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const o = b.temporary(x.shape);
  const params = encode(CentreParams, { xType: storageOf(x), mean: mean.address, o: o.address, length, heads, d });
  encodePlaces(CentreParams, params, { x });
  b.dispatch({
    kernel: 'centreRows',
    params,
    items: batch * length,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    flops: x.size,
  });
  return o;
}

/** Adds a map f32 [B, Hq, Tq, Tk] of tables in which labels i32 [B, Hq * tables, Tq] and [B, Hkv * tables, Tk] are the same. */
export function collisionScores(b: Builder, q: Tensor, k: Tensor, tables: number, visible: Visible): Tensor {
  const [batch, lists, length] = q.shape as [number, number, number];
  const columns = k.shape[2]!;
  const map = b.temporary([batch, lists / tables, length, columns]);
  b.dispatch({
    kernel: 'collisionScores',
    params: encode(CollisionParams, mapFields(map, visible), {
      q: q.address,
      k: k.address,
      kStrideB: k.strides[0]!,
      kStrideL: k.strides[1]!,
      tables,
      group: lists / k.shape[1]!,
    }),
    items: (batch * lists * length) / tables,
    flops: map.size * tables,
  });
  return map;
}

/** What keys were sampled by. */
export interface Sampling {
  readonly q: Tensor;
  readonly k: Tensor;
  /** f32 [B, Hkv, D], contiguous. */
  readonly mean: Tensor;
  readonly bits: number;
  readonly tables: number;
}

/** Adds -ln(u + 1e-4) for each entry of lists (contiguous), u the probability to be sampled; 0 for keys taken in any case. */
export function samplingBias(
  b: Builder,
  { q, k, mean, bits, tables }: Sampling,
  lists: IndexLists,
  { first, last }: ForcedKeys,
): Tensor {
  const o = b.temporary(lists.indices.shape);
  const d = k.shape[3]!;
  const params = encode(SamplingBiasParams, listedFields(q, lists, o, k.shape[2]!), {
    kType: storageOf(k),
    columns: k.shape[1]!,
    first,
    last,
    width: lists.indices.shape[3]!,
    mean: mean.address,
    bits,
    tables,
  });
  encodePlaces(SamplingBiasParams, params, { q, k });
  b.dispatch({
    kernel: 'samplingBias',
    params,
    items: lists.counts.size,
    scratchBytes: 8 * d,
    flops: 4 * o.size * d,
  });
  return o;
}
