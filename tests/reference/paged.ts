import { type AttentionOptions, attention } from './attention.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** The rows of a paged cache [pages,pageSize,Hkv,D] that belong to each sequence, in order: [B, max(seqLens), Hkv, D]; the rest is zero. */
export function gatherPages(cache: NdArray, blockTable: NdArray, seqLens: NdArray): Result {
  const [, pageSize = 0, heads = 0, d = 0] = cache.shape;
  const batches = seqLens.shape[0]!;
  const longest = Math.max(0, ...Array.from(seqLens.data));
  const rows = zeros([batches, longest, heads, d]);
  for (let b = 0; b < batches; b++) {
    for (let t = 0; t < at(seqLens, b); t++) {
      const page = at(blockTable, b, Math.floor(t / pageSize));
      for (let n = 0; n < heads * d; n++) {
        rows.data[offset(rows.shape, b, t, 0, 0) + n] = cache.data[offset(cache.shape, page, t % pageSize, 0, 0) + n]!;
      }
    }
  }
  return rows;
}

/** Inputs of paged attention; the shapes are those of the op. */
export interface PagedInputs {
  q: NdArray;
  kCache: NdArray;
  vCache: NdArray;
  blockTable: NdArray;
  seqLens: NdArray;
  sinks?: NdArray;
  alibiSlopes?: NdArray;
}

/** Attention over a paged cache: the queries are the last Tq tokens of each sequence, each sees what is before it (vLLM, arXiv 2309.06180). */
export function pagedAttention(
  { kCache, vCache, blockTable, seqLens, ...rest }: PagedInputs,
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const k = gatherPages(kCache, blockTable, seqLens);
  const v = gatherPages(vCache, blockTable, seqLens);
  return attention({ ...rest, k, v, kvLens: seqLens }, { causal: true, ...options }, round);
}
