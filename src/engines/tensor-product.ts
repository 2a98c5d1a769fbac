/**
 * Host side of attention on keys and values that are kept as sums of outer products.
 *
 * @module
 */
import { OuterSumParams, TensorProductParams } from '../generated/params.ts';
import { encode, encodePlaces } from '../runtime/params.ts';
import type { Builder } from '../runtime/program.ts';
import { storageOf, type Tensor } from '../tensor.ts';
import { type AttentionCall, attentionParams, cacheParams, visiblePairs } from './attention-call.ts';
import { BLOCK_K } from './block-list.ts';
import { sequenceTable } from './sequences.ts';

/** Keys of one work item. */
const SPLIT_KEYS = 512;

/** Factors of rows [B, T, H, D] = 1/R sum_r a_r[h] b_r. */
export interface Factors {
  /** [B, T, R, H] */
  readonly a: Tensor;
  /** [B, T, R, D] */
  readonly b: Tensor;
}

/** Adds o [B, T, H, D], contiguous, from its factors. */
export function expandFactors(builder: Builder, { a, b }: Factors, o: Tensor): void {
  const [batch, length, rank, heads] = a.shape as [number, number, number, number];
  const d = b.shape[3]!;
  const params = encode(OuterSumParams, {
    aType: storageOf(a),
    bType: storageOf(b),
    o: o.address,
    length,
    rank,
    heads,
    d,
    scale: 1 / rank,
  });
  encodePlaces(OuterSumParams, params, { a, b });
  builder.dispatch({
    kernel: 'outerSum',
    params,
    items: batch * length,
    grain: Math.max(1, Math.ceil(8192 / (rank * heads * d))),
    scratchBytes: builder.runtime.scratchBytes('outerSumScratchBytes', params),
    flops: 2 * batch * length * rank * heads * d,
  });
}

/** A few queries on a cache of factors. */
export interface TensorProductCall extends Pick<AttentionCall, 'sequences' | 'scale' | 'softcap' | 'window' | 'o'> {
  /** Factors of the queries, or the queries [B, Tq, H, D]. */
  readonly q: Factors | Tensor;
  readonly k: Factors;
  readonly v: Factors;
  readonly lse: Tensor;
}

/** Adds the dispatches of a contracted call: neither keys nor values are made. */
export function tensorProductAttend(b: Builder, call: TensorProductCall): void {
  const { k, v, sequences } = call;
  const [q, aQ] = 'a' in call.q ? [call.q.b, call.q.a] : [call.q, undefined];
  const heads = k.a.shape[3]!;
  const [rankQ, rankK, rankV] = [q.shape[2]!, k.b.shape[2]!, v.b.shape[2]!];
  const [dk, dv] = [k.b.shape[3]!, v.b.shape[3]!];
  const longestQ = Math.max(0, ...sequences.map((s) => s.qLength));
  const longestK = Math.max(1, ...sequences.map((s) => s.kLength));
  const rows = longestQ * heads;
  const count = sequences.length;
  if (rows === 0 || count === 0) return;
  const splits = Math.ceil(longestK / SPLIT_KEYS);
  const rowFactors: AttentionCall = { ...call, q, k: k.b, v: v.b };
  const table = sequenceTable(sequences, () => 0, BLOCK_K);
  const partials = b.temporary([count, splits, rows, Math.ceil(dv / 8) * 8 + 8]);
  const params = encode(
    TensorProductParams,
    attentionParams(rowFactors, b.table(table.words)),
    cacheParams(rowFactors),
    {
      heads,
      group: heads,
      kvHeads: 1,
      queries: longestQ,
      splitKeys: SPLIT_KEYS,
      splits,
      rows,
      partials: partials.address,
      rankQ,
      rankK,
      rankV,
      aQType: aQ ? storageOf(aQ) : 0,
      aKType: storageOf(k.a),
      aVType: storageOf(v.a),
    },
  );
  encodePlaces(TensorProductParams, params, { aQ, aK: k.a, aV: v.a });
  const inner = rankQ * rankK * dk + (aQ ? heads * rankQ * rankK : 0);
  b.dispatch({
    kernel: 'tensorProduct',
    params,
    items: count * splits,
    scratchBytes: b.runtime.scratchBytes('tensorProductScratchBytes', params),
    flops: 2 * visiblePairs(rowFactors) * (inner + heads * rankV * dv),
  });
  b.dispatch({
    kernel: 'decodeMerge',
    params,
    items: count * rows,
    scratchBytes: Math.ceil(dv / 8) * 32 + 16,
    flops: count * rows * splits * dv * 2,
  });
}
