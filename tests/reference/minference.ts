import { attention } from './attention.ts';
import { largest, maskOf, meanBlocks, product, rowOf, rowsOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { blocksOfRow } from './xattention.ts';

/** Operands of minference. */
export interface MinferenceInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** What a head does. */
export type MinferencePlan =
  | { pattern: 'verticalSlash'; vertical: number; slash: number }
  | { pattern: 'aShape'; sink: number; window: number }
  | { pattern: 'blockSparse'; topK: number };

const BLOCK = 64;

/** Sums over the last n queries' softmax rows: of columns [H][Tk], and of diagonals by their distance [H][Tk]. */
export function lastRowSums(
  q: NdArray,
  k: NdArray,
  b: number,
  h: number,
  n: number,
  scale: number,
): { columns: number[]; diagonals: number[] } {
  const [, tq = 0, heads = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const keys = rowsOf(k, b, Math.floor(h / (heads / kvHeads)));
  const columns = new Array<number>(tk).fill(0);
  const diagonals = new Array<number>(tk).fill(0);
  for (let i = tq - n; i < tq; i++) {
    const position = i + tk - tq;
    if (position < 0) continue;
    const query = rowOf(q, b, i, h);
    const scores = keys.slice(0, position + 1).map((key) => scale * product(query, key));
    softmaxOf(scores).forEach((p, j) => {
      columns[j] = columns[j]! + p;
      diagonals[position - j] = diagonals[position - j]! + p;
    });
  }
  return { columns, diagonals };
}

/** The numbers 0 to n - 1. */
export function firstOf(n: number): Set<number> {
  return new Set(Array.from({ length: Math.max(0, n) }, (_, i) => i));
}

/**
 * What each head sees: key blocks of 64 for blocks of 64 queries, u8 [B,H,R,C], and single columns u8 [B,H,Tk]. Vertical-slash: columns
 * and diagonals with the largest sums over the last 64 queries' weights, the first 30 columns and the nearest 100 diagonals before all
 * others; a diagonal covers the blocks that it passes. Block-sparse: the blocks with the largest products of means (MInference, arXiv
 * 2407.02490, minference/modules/minference_forward.py).
 */
export function minferenceChoice(
  { q, k }: MinferenceInputs,
  plans: readonly MinferencePlan[],
  { scale }: { scale?: number } = {},
): { blocks: Result; columns: Result; gap: number } {
  const [batches = 0, tq = 0, heads = 0, d = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const factor = scale ?? d ** -0.5;
  const [rows, count] = [Math.ceil(tq / BLOCK), Math.ceil(tk / BLOCK)];
  const blocks = zeros([batches, heads, rows, count]);
  const columns = zeros([batches, heads, tk]);
  const [meanQ, meanK] = [meanBlocks(q, BLOCK), meanBlocks(k, BLOCK)];
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const plan = plans[h]!;
      const kh = Math.floor(h / (heads / kvHeads));
      if (plan.pattern === 'blockSparse') {
        for (let r = 0; r < rows; r++) {
          const { count: seen } = blocksOfRow(r, { queryBlock: BLOCK, keyBlock: BLOCK, tq, tk }, true);
          const scores = Array.from({ length: seen }, (_, c) => product(rowOf(meanQ, b, r, h), rowOf(meanK, b, c, kh)));
          const choice = largest(scores, plan.topK);
          gap = Math.min(gap, choice.gap);
          for (const c of choice.chosen) blocks.data[offset(blocks.shape, b, h, r, c)] = 1;
        }
      }
      if (plan.pattern === 'verticalSlash') {
        const sums = lastRowSums(q, k, b, h, Math.min(BLOCK, tq), factor);
        const vertical = largest(sums.columns, Math.min(tk, Math.max(plan.vertical, 30)), firstOf(Math.min(tk, 30)));
        // of the forced diagonals the nearest come first where there is no room for all
        const wanted = Math.min(tk, Math.max(plan.slash, 50));
        const slash = largest(sums.diagonals, wanted, firstOf(Math.min(tk, 100, wanted)));
        gap = Math.min(gap, vertical.gap, slash.gap);
        for (const j of vertical.chosen) columns.data[offset(columns.shape, b, h, j)] = 1;
        for (let r = 0; r < rows; r++) {
          const [from, to] = [r * BLOCK + tk - tq, Math.min(tq, (r + 1) * BLOCK) - 1 + tk - tq];
          for (const distance of slash.chosen) {
            for (let c = 0; c < count; c++) {
              // the keys that the diagonal passes in these rows
              const [low, high] = [Math.max(0, from - distance), to - distance];
              if (high >= low && c >= Math.floor(low / BLOCK) && c <= Math.floor(high / BLOCK)) {
                blocks.data[offset(blocks.shape, b, h, r, c)] = 1;
              }
            }
          }
        }
      }
    }
  }
  return { blocks, columns, gap };
}

/** Causal softmax attention over what each head sees. */
export function minference(
  inputs: MinferenceInputs,
  plans: readonly MinferencePlan[],
  options: { scale?: number } = {},
  round: Round = float64,
  { blocks, columns }: { blocks: NdArray; columns: NdArray } = minferenceChoice(inputs, plans, options),
): { o: Result; lse: Result } {
  const [batches = 0, tq = 0, heads = 0] = inputs.q.shape;
  const tk = inputs.k.shape[1]!;
  const mask = maskOf([batches, heads, tq, tk], (b, h, i, j) => {
    const plan = plans[h]!;
    if (plan.pattern === 'aShape') return j < plan.sink || i + tk - tq - j < plan.window;
    return (
      blocks.data[offset(blocks.shape, b, h, Math.floor(i / BLOCK), Math.floor(j / BLOCK))] === 1 ||
      columns.data[offset(columns.shape, b, h, j)] === 1
    );
  });
  return attention({ ...inputs, mask }, { causal: true, ...options }, round);
}
