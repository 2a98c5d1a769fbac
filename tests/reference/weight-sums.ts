import { product, rowsOf, softmaxOf } from './block-choice.ts';
import { type NdArray, offset, type Result, zeros } from './ndarray.ts';

/** How rows and columns are formed and added up, as src/engines/select/weight-sums.ts takes it. */
export interface WeightSumsOptions {
  scale: number;
  interleave: number;
  rowGroup: number;
  columnGroup: number;
  /** Columns that row i sees. */
  seen: (i: number) => number;
}

/**
 * Softmax weights of rows of `interleave` queries in reversed order with columns of as many keys, added up by groups of rows and of
 * columns [B,H,G,C], and by distance from the last column that a row sees [B,H,G,M].
 */
export function weightSums(
  { q, k }: { q: NdArray; k: NdArray },
  { scale, interleave, rowGroup, columnGroup, seen }: WeightSumsOptions,
): { columns: Result; diagonals: Result } {
  const [batches = 0, tq = 0, heads = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const [rows, count] = [Math.ceil(tq / interleave), Math.ceil(tk / interleave)];
  const groups = Math.ceil(rows / rowGroup);
  const columns = zeros([batches, heads, groups, Math.ceil(count / columnGroup)]);
  const diagonals = zeros([batches, heads, groups, count]);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const [queries, keys] = [rowsOf(q, b, h), rowsOf(k, b, Math.floor(h / (heads / kvHeads)))];
      for (let i = 0; i < rows; i++) {
        const n = Math.max(0, Math.min(count, seen(i)));
        const scores = Array.from({ length: n }, (_, j) => {
          let sum = 0;
          for (let r = 0; r < interleave; r++) {
            const [query, key] = [queries[i * interleave + interleave - 1 - r], keys[j * interleave + r]];
            if (query && key) sum += product(query, key);
          }
          return sum * scale;
        });
        const g = Math.floor(i / rowGroup);
        softmaxOf(n > 0 ? scores : [Number.NEGATIVE_INFINITY]).forEach((p, j) => {
          if (n === 0) return;
          const at = offset(columns.shape, b, h, g, Math.floor(j / columnGroup));
          columns.data[at] = columns.data[at]! + p;
          const along = offset(diagonals.shape, b, h, g, n - 1 - j);
          diagonals.data[along] = diagonals.data[along]! + p;
        });
      }
    }
  }
  return { columns, diagonals };
}
