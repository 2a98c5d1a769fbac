/**
 * Keys in four bits, to score lists of them by.
 *
 * @module
 */
import { Int4KeyParams, Int4ScoreParams } from '../../generated/params.ts';
import { encode, encodePlaces } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import { storageOf, type Tensor } from '../../tensor.ts';
import type { IndexLists } from './bits.ts';
import { type ForcedKeys, listedFields } from './listed.ts';

/** Elements of one turn at the work counter. */
const SPAN = 4096;

/** Keys in four bits. */
export interface Int4Keys {
  /** u8 [B, Tk, Hkv, int4Width(D)] */
  readonly codes: Tensor;
  /** f32 [B, Tk, Hkv, 2]: step and least of each key. */
  readonly range: Tensor;
}

/** Bytes of a key's codes: two channels a byte, whole eights. */
export function int4Width(d: number): number {
  return Math.ceil(d / 16) * 8;
}

/** Adds the keys [B, T, Hkv, D] in four bits. */
export function int4Keys(b: Builder, k: Tensor, { codes, range }: Int4Keys): void {
  const [batch, length, heads, d] = k.shape as [number, number, number, number];
  const width = int4Width(d);
  const params = encode(Int4KeyParams, { kType: storageOf(k), length, heads, d, width });
  encodePlaces(Int4KeyParams, params, { k, codes, range });
  b.dispatch({
    kernel: 'int4Keys',
    params,
    items: batch * length,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, heads * d))),
    scratchBytes: 8 * width + 16,
    flops: 6 * k.size,
  });
}

/** Adds scores f32 [B, Hq, Tq, width] of the keys of lists (contiguous) by their codes, as `listScores` does by the keys. */
export function int4Scores(
  b: Builder,
  q: Tensor,
  { codes, range }: Int4Keys,
  scale: number,
  lists: IndexLists,
  { first, last }: ForcedKeys,
): Tensor {
  const o = b.temporary(lists.indices.shape);
  const width = int4Width(q.shape[3]!);
  const params = encode(Int4ScoreParams, listedFields(q, lists, o, codes.shape[2]!), {
    columns: codes.shape[1]!,
    scale,
    first,
    last,
    width,
    entries: lists.indices.shape[3]!,
  });
  encodePlaces(Int4ScoreParams, params, { q, codes, range });
  b.dispatch({
    kernel: 'int4Scores',
    params,
    items: lists.counts.size,
    scratchBytes: 8 * width + 16,
    flops: 2 * o.size * q.shape[3]!,
  });
  return o;
}
