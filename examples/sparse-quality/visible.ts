import { type Pattern, patterns, type Tensor } from '../../src/index.ts';

/** Whether a query sees a key; keys behind a causal query are left out by whoever asks. */
export type Visible = (head: number, query: number, key: number) => boolean;

/** Pairs that a pattern shows among `length` tokens. */
export function byPattern(pattern: Pattern, length: number): Visible {
  return (head, query, key) => pattern.visible(query, key, { Tq: length, Tk: length, batch: 0, head });
}

/** Pairs of the blocks that are chosen in `selection`, i32 [1, heads or key/value heads, query blocks, words]. */
export function byBlocks(selection: Tensor, queryBlock: number, keyBlock: number, heads: number): Visible {
  const bit = bitsOf(selection);
  const group = heads / selection.shape[1]!;
  return (head, query, key) =>
    bit(Math.floor(head / group), Math.floor(query / queryBlock), Math.floor(key / keyBlock));
}

/** Pairs of clusters that are chosen in `selection`, with the clusters of the tokens, i32 [1, heads, T]. */
export function byClusters(selection: Tensor, queryLabels: Tensor, keyLabels: Tensor): Visible {
  const bit = bitsOf(selection);
  const [queries, keys] = [queryLabels.dataSync(), keyLabels.dataSync()];
  const [Tq, Tk] = [queryLabels.shape[2]!, keyLabels.shape[2]!];
  const group = queryLabels.shape[1]! / keyLabels.shape[1]!;
  return (head, query, key) => bit(head, queries[head * Tq + query]!, keys[Math.floor(head / group) * Tk + key]!);
}

/** Pairs by lists of keys, i32 [1, heads, T or 1 for all queries, most], -1 behind the last. */
export function byIndices(indices: Tensor): Visible {
  const [, heads, rows, most] = indices.shape as [number, number, number, number];
  const data = indices.dataSync();
  const sets = Array.from(
    { length: heads * rows },
    (_, row) => new Set(Array.from(data.slice(row * most, (row + 1) * most) as Int32Array)),
  );
  return (head, query, key) => sets[head * rows + (rows === 1 ? 0 : query)]!.has(key);
}

/** The last `width` keys, the query's own counted. */
export function byWindow(width: number): Visible {
  return byPattern(patterns.window(width - 1, 0), 0);
}

/** Pairs that any of them shows. */
export function either(...parts: readonly Visible[]): Visible {
  return (head, query, key) => parts.some((part) => part(head, query, key));
}

/** Reads bits of i32 [1, heads, rows, words]: bit j & 31 of word j >> 5. */
function bitsOf(selection: Tensor): (head: number, row: number, j: number) => boolean {
  const [, , rows, words] = selection.shape as [number, number, number, number];
  const data = selection.dataSync() as Int32Array;
  return (head, row, j) => ((data[(head * rows + row) * words + (j >> 5)]! >> (j & 31)) & 1) === 1;
}
