/**
 * Attention over keys that come in shards: every shard's result is joined with that of the shards before it.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { decodeAttend, suitsDecode } from './decode.ts';
import { flashAttend } from './flash.ts';

/** What all shards of a call have in common: queries, results and what is visible. */
export type ShardedCall = Pick<AttentionCall, 'q' | 'o' | 'scale' | 'softcap' | 'window'> & { readonly lse: Tensor };

/** Some keys and values of every sequence of the batch, [B, n, Hkv, D]. */
export interface Shard {
  readonly k: Tensor;
  readonly v: Tensor;
  /** Place of query 0 less that of key 0. */
  readonly offset: number;
  /**
   * Places of keys that do not follow one another, and of queries, in which case `offset` is not looked at; i32 [1, n] and [1, Tq]. Rows before
   * `firstRow` see none.
   */
  readonly places?: { readonly q: Tensor; readonly k: Tensor; readonly firstRow: number } | undefined;
}

/** Rows [first, end) of `queries` that see at least one of `keys` keys in a row. */
export function rowsSeeing(
  queries: number,
  keys: number,
  offset: number,
  [left, right]: AttentionCall['window'],
): readonly [first: number, end: number] {
  if (keys === 0) return [0, 0];
  const first = right < 0 ? 0 : Math.max(0, -offset - right);
  const end = left < 0 ? queries : Math.min(queries, keys - offset + left);
  return [first, Math.max(first, end)];
}

/**
 * Lays out attention to one shard; rows that see none of it cost nothing and keep what they have, but for the first shard, which writes
 * all rows. Returns how many rows were computed.
 */
export function attendShard(b: Builder, call: ShardedCall, { k, v, offset, places }: Shard, first: boolean): number {
  const [B, Tq] = call.q.shape as [number, number];
  const keys = k.shape[1]!;
  const seeing = places ? [keys > 0 ? places.firstRow : Tq, Tq] : rowsSeeing(Tq, keys, offset, call.window);
  const [low, high] = first ? [0, Tq] : (seeing as [number, number]);
  if (low >= high) return 0;
  const sequences = Array.from({ length: B }, (_, batch) => ({
    batch,
    qStart: low,
    qLength: high - low,
    kStart: 0,
    kLength: keys,
    offset: offset + low,
  }));
  const one: AttentionCall = { ...call, k, v, sequences, accumulate: first ? false : 'join' };
  b.reusing(() => {
    if (places) flashAttend(b, one, { positions: places });
    else if (suitsDecode(one)) decodeAttend(b, one);
    else flashAttend(b, one);
  });
  return high - low;
}
