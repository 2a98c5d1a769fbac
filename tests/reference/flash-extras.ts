import { softmax } from './attention.ts';

/** What decides over the pairs of one head of one sequence: rows of queries, keys and values as plain numbers. */
export interface ExtraCase {
  q: readonly (readonly number[])[];
  k: readonly (readonly number[])[];
  v: readonly (readonly number[])[];
  scale: number;
  visible: (i: number, j: number) => boolean;
  /** Whether key j is at query i's own place, where its score becomes selfScore. */
  own?: (i: number, j: number) => boolean;
  selfScore?: number | undefined;
  /**
   * In powers of two: in order of the blocks of 64 keys, a row passes over a block whose largest visible score is this much or more
   * below the largest of the blocks that it kept (SpargeAttn, Zhang 2025, for tiles of one row).
   */
  skipBelow?: number | undefined;
}

/** Attention of one head in float64; `margin` is how near the decisions to pass over blocks were. */
export function attendExtras(c: ExtraCase): { o: number[][]; lse: number[]; margin: number; skipped: number } {
  let margin = Number.POSITIVE_INFINITY;
  let skipped = 0;
  const lse: number[] = [];
  const o = c.q.map((query, i) => {
    const scores = c.k.map((key, j) => {
      if (!c.visible(i, j)) return Number.NEGATIVE_INFINITY;
      if (c.selfScore !== undefined && c.own?.(i, j)) return c.selfScore;
      return c.scale * key.reduce((sum, x, d) => sum + x * query[d]!, 0);
    });
    if (c.skipBelow !== undefined) {
      let most = Number.NEGATIVE_INFINITY;
      for (let first = 0; first < scores.length; first += 64) {
        const highest = Math.max(...scores.slice(first, first + 64)) * Math.LOG2E;
        if (highest === Number.NEGATIVE_INFINITY) continue;
        if (most > Number.NEGATIVE_INFINITY) margin = Math.min(margin, Math.abs(highest + c.skipBelow - most));
        if (highest + c.skipBelow > most) {
          most = Math.max(most, highest);
        } else {
          skipped += 1;
          scores.fill(Number.NEGATIVE_INFINITY, first, first + 64);
        }
      }
    }
    const row = softmax(scores);
    lse.push(row.lse);
    const width = c.v[0]?.length ?? 0;
    return Array.from({ length: width }, (_, d) =>
      row.p.reduce((sum, p, j) => sum + (p === 0 ? 0 : p * c.v[j]![d]!), 0),
    );
  });
  return { o, lse, margin, skipped };
}
