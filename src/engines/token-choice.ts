/**
 * Attention on single tokens that every query chooses by scores, some rows of the map of scores at a time.
 *
 * @module
 */
import type { Builder } from '../runtime/program.ts';
import type { Tensor } from '../tensor.ts';
import type { AttentionCall } from './attention-call.ts';
import { copyWords } from './copy.ts';
import { type IndexLists, indexAttend } from './index-attention.ts';
import { selectIndices } from './select/bits.ts';
import type { Visible } from './select/map.ts';

/** Most bytes of a map of scores, and least rows of one. */
const MAP_BYTES = 2 ** 24;
const LEAST_ROWS = 96;

/** Some queries and the keys that any of them sees. */
export interface Part {
  /** Queries [from, to) of each batch entry, and keys [0, columns). */
  readonly from: number;
  readonly to: number;
  readonly columns: number;
  /** Keys that each of the queries sees; all of them if absent. */
  readonly visible: Visible | undefined;
}

/** How tokens are chosen. */
export interface TokenChoice {
  /** Lists of each query. */
  readonly lists: number;
  readonly causal: boolean;
  /** Most tokens of a list. */
  readonly capacity: number;
  /** Adds bits i32 [B, lists, to - from, ceil(columns / 32)]: the keys that the queries of a part choose. */
  choose(part: Part): Tensor;
  /** What of the lists becomes a result. */
  readonly keep: { readonly indices: boolean; readonly counts: boolean };
}

/** Adds attention on chosen tokens, and the lists as far as they are kept: i32 [B, lists, Tq, capacity] and [B, lists, Tq]. */
export function attendTokens(b: Builder, call: AttentionCall, choice: TokenChoice): Partial<IndexLists> {
  const { q, k, o, lse } = call;
  const { lists, causal, keep } = choice;
  const [batch, Tq] = q.shape as [number, number];
  const Tk = k.shape[1]!;
  const capacity = Math.min(choice.capacity, Tk);
  const fitting = Math.floor(MAP_BYTES / Math.max(1, batch * lists * Tk * 4) / LEAST_ROWS) * LEAST_ROWS;
  const rows = Math.max(LEAST_ROWS, fitting);
  const indices = keep.indices ? b.output([batch, lists, Tq, capacity], 'i32') : undefined;
  const counts = keep.counts ? b.output([batch, lists, Tq], 'i32') : undefined;
  const noted = b.notes.length;
  for (let from = 0; from < Tq; from += rows) {
    const to = Math.min(Tq, from + rows);
    const columns = Math.max(Math.min(1, Tk), causal ? Math.min(Tk, to + Tk - Tq) : Tk);
    const visible = causal ? { mul: 1, add: from + Tk - Tq + 1, div: 1 } : undefined;
    b.reusing(() => {
      const found = selectIndices(b, choice.choose({ from, to, columns, visible }), capacity);
      const part = { ...call, q: q.slice(1, from, to), o: o.slice(1, from, to), lse: lse?.slice(1, from, to) };
      const sequences = call.sequences.map((span) => ({ ...span, qLength: to - from }));
      indexAttend(b, { ...part, sequences }, found);
      if (indices) copyWords(b, found.indices, indices.slice(2, from, to));
      if (counts) copyWords(b, asRow(found.counts), asRow(counts.slice(2, from, to)));
    });
  }
  // the parts differ in their rows alone: those of one tell all
  b.notes.splice(noted + 1);
  return { ...(indices && { indices }), ...(counts && { counts }) };
}

/** Numbers [B, L, R] as rows [B, L, 1, R]. */
function asRow(x: Tensor): Tensor {
  const [batch, lists, rows] = x.shape as [number, number, number];
  return x.restride([batch, lists, 1, rows], [x.strides[0]!, x.strides[1]!, 0, 1]);
}
