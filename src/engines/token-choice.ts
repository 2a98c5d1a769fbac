/**
 * Attention on single tokens that every query chooses.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { type IndexLists, indexAttend, nearKeys } from './index-attention.ts';
import { selectIndices } from './select/bits.ts';

/** Most bytes of lists that are there at once, and least queries of them. */
const LISTS_BYTES = 2 ** 23;
const LEAST_QUERIES = 128;

/**
 * Adds attention on chosen tokens: bits i32 [B, L, Tq, W] of keys, at most `capacity` of each query. With `keep` the lists, i32
 * [B, L, Tq, capacity] and [B, L, Tq], are results.
 */
export function attendTokens(
  b: Builder,
  asked: AttentionCall,
  bits: Tensor,
  capacity: number,
  keep: boolean,
): Partial<IndexLists> {
  const [batch, lists, Tq] = bits.shape as [number, number, number];
  const most = Math.min(capacity, asked.k.shape[1]!);
  const call = nearKeys(b, asked, most);
  const { q, o, lse } = call;
  if (keep) {
    const { indices, counts } = selectIndices(b, bits, most);
    indexAttend(b, call, { indices, counts });
    return { indices: b.keep(indices), counts: b.keep(counts) };
  }
  const fitting = Math.floor(LISTS_BYTES / Math.max(1, batch * lists * most * 4) / LEAST_QUERIES) * LEAST_QUERIES;
  const queries = Math.max(LEAST_QUERIES, fitting);
  const noted = b.notes.length;
  for (let from = 0; from < Tq; from += queries) {
    const to = Math.min(Tq, from + queries);
    b.reusing(() => {
      const found = selectIndices(b, bits.slice(2, from, to), most);
      const part = { ...call, q: q.slice(1, from, to), o: o.slice(1, from, to), lse: lse?.slice(1, from, to) };
      const sequences = call.sequences.map((span) => ({ ...span, qLength: to - from }));
      indexAttend(b, { ...part, sequences }, found);
    });
  }
  // the parts differ in their queries alone: the first tells all
  b.notes.splice(noted + 1);
  return {};
}
