/**
 * Channels of keys that have most to say, and rows of them alone.
 *
 * @module
 */
import { HeavyChannelParams, PrincipalParams, TakeChannelParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import { selectIndices } from './bits.ts';
import { selectTopK } from './choose.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds i32 [1, Hkv, 1, r]: the channels of the largest sums of |q_c k_c| over all pairs, ascending. */
export function heavyChannels(b: Builder, q: Tensor, k: Tensor, r: number): Tensor {
  const [batch, queries, heads, d] = q.shape as [number, number, number, number];
  const [length, kvHeads] = [k.shape[1]!, k.shape[2]!];
  const weights = b.temporary([1, kvHeads, 1, d]);
  const params = encode(HeavyChannelParams, {
    qType: storageOf(q),
    kType: storageOf(k),
    weights: weights.address,
    batch,
    queries,
    length,
    group: heads / kvHeads,
    d,
  });
  encodePlaces(HeavyChannelParams, params, { q, k });
  b.dispatch({
    kernel: 'heavyChannels',
    params,
    items: kvHeads,
    scratchBytes: d * 20,
    flops: q.size + k.size,
  });
  return selectIndices(b, selectTopK(b, weights, { k: r }), r).indices;
}

/** Adds o f32 [B, T, H, r] = the channels i32 [lists, r] of x [B, T, H, D]; lists divide H. */
export function takeChannels(b: Builder, x: Tensor, channels: Tensor, o: Tensor): Tensor {
  const [batch, length, heads, d] = x.shape as [number, number, number, number];
  const [lists, r] = channels.shape as [number, number];
  const params = encode(TakeChannelParams, {
    xType: storageOf(x),
    channels: channels.address,
    lists,
    length,
    heads,
    d,
    r,
  });
  encodePlaces(TakeChannelParams, params, { x, o });
  b.dispatch({
    kernel: 'takeChannels',
    params,
    items: batch * length,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    scratchBytes: d * 4,
    flops: x.size,
  });
  return o;
}

/** Adds the r directions f32 [Hkv, r, D] of most variance among the keys [B, T, Hkv, D] of each head, and the variances f32 [Hkv, r]. */
export function principalDirections(b: Builder, k: Tensor, basis: Tensor, variances: Tensor): void {
  const [batch, length, heads, d] = k.shape as [number, number, number, number];
  const params = encode(PrincipalParams, {
    kType: storageOf(k),
    basis: basis.address,
    variances: variances.address,
    batch,
    length,
    d,
    r: basis.shape[1]!,
  });
  encodePlaces(PrincipalParams, params, { k });
  b.dispatch({
    kernel: 'principalDirections',
    params,
    items: heads,
    scratchBytes: b.runtime.scratchBytes('principalScratchBytes', params),
    flops: k.size * d + 60 * heads * d ** 3,
  });
}
