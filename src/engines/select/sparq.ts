/**
 * Scores by the largest channels of queries, and the mean value for what they do not choose.
 *
 * @module
 */
import { ChannelScoreParams, SparqBlendParams, SparqQueryParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';
import { scoreMap } from './score-map.ts';

/** Columns of an item: as many scores as stay in the first-level cache. */
const BLOCK_COLUMNS = 2048;

/** What is scored. */
export interface SparqCall {
  /** [B, Tq, Hq, D] and [B, Tk, Hkv, D] */
  readonly q: Tensor;
  readonly k: Tensor;
  /** f32 [B, Hkv, D, Tk]: the keys channel by channel, of which those that count are read alone. */
  readonly kT?: Tensor | undefined;
  /** Channels of a group of heads. */
  readonly r: number;
  readonly scale: number;
  readonly visible: Visible;
}

/** Adds the map f32 [B, Hq, Tq, Tk] of the logits that the r largest channels give. */
export function sparqScores(b: Builder, { q, k, kT, r, scale, visible }: SparqCall): Tensor {
  const [batch, length, heads, d] = q.shape as [number, number, number, number];
  const [columns, kvHeads] = [k.shape[1]!, k.shape[2]!];
  const group = heads / kvHeads;
  const masked = b.temporary([batch, length, heads, d]);
  const channels = b.temporary([batch, length, kvHeads, r], 'i32');
  const shape = { length, heads, group, d, r, scale };
  const query = encode(SparqQueryParams, shape, {
    qType: storageOf(q),
    masked: masked.address,
    channels: channels.address,
  });
  encodePlaces(SparqQueryParams, query, { q });
  b.dispatch({
    kernel: 'sparqQueries',
    params: query,
    items: batch * length * kvHeads,
    scratchBytes: d * 4,
    flops: (2 + r / group) * q.size,
  });
  if (!kT) return scoreMap(b, { q: masked, k, scale: 1, visible });
  const map = b.temporary([batch, heads, length, columns]);
  b.dispatch({
    kernel: 'channelScores',
    params: encode(ChannelScoreParams, mapFields(map, visible), {
      q: masked.address,
      channels: channels.address,
      kT: kT.address,
      kStrideB: kT.strides[0]!,
      kStrideH: kT.strides[1]!,
      kStrideC: kT.strides[2]!,
      group,
      d,
      r,
      blockColumns: BLOCK_COLUMNS,
    }),
    items: batch * kvHeads * Math.ceil(columns / BLOCK_COLUMNS),
    flops: 2 * map.size * r,
  });
  return map;
}

/** What is blended. */
export interface SparqBlend {
  /** f32 [B, Hq, Tq, Tk]: weights of all tokens. */
  readonly map: Tensor;
  /** i32 [B, Hq, Tq, W]: chosen tokens. */
  readonly bits: Tensor;
  /** [B, Tk, Hkv, Dv] */
  readonly v: Tensor;
  /** f32 [B, Hkv, Dv], contiguous: the sums of all values over `weight`. */
  readonly sums: Tensor;
  readonly weight: number;
  /** f32 [B, Tq, Hq, Dv], in place. */
  readonly o: Tensor;
  readonly visible: Visible;
}

/** Adds o = alpha o + (1 - alpha) mean of the values that a query sees, alpha the weight of what it chose. */
export function sparqBlend(b: Builder, { map, bits, v, sums, weight, o, visible }: SparqBlend): void {
  const [batch, heads, length] = map.shape as [number, number, number, number];
  const dv = v.shape[3]!;
  const params = encode(SparqBlendParams, mapFields(map, visible), {
    bits: bits.address,
    words: bits.shape[3]!,
    vType: storageOf(v),
    sums: sums.address,
    weight,
    group: heads / v.shape[2]!,
    dv,
  });
  encodePlaces(SparqBlendParams, params, { v, o });
  b.dispatch({
    kernel: 'sparqBlend',
    params,
    items: batch * heads * length,
    scratchBytes: 12 * dv + 16,
    flops: 2 * o.size + map.size,
  });
}
