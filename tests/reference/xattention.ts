import { attention } from './attention.ts';
import { heaviest, maskOf, product, rowsOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of xAttention. */
export interface XAttentionInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** Options of xAttention. */
export interface XAttentionOptions {
  stride?: number;
  threshold?: number;
  block?: number;
  causal?: boolean;
  sink?: boolean;
  norm?: number;
  scale?: number;
}

/**
 * How many key blocks a block of queries may see, and the last of them, which count as its own: one where the blocks of queries and keys
 * lie alike, two where a block of queries meets two blocks of keys.
 */
export function blocksOfRow(
  r: number,
  { queryBlock, keyBlock, tq, tk }: { queryBlock: number; keyBlock: number; tq: number; tk: number },
  causal: boolean,
): { count: number; own: number[] } {
  const blocks = Math.ceil(tk / keyBlock);
  if (!causal) return { count: blocks, own: [] };
  const last = (r + 1) * queryBlock - 1 + tk - tq;
  const count = Math.max(0, Math.min(blocks, Math.floor(last / keyBlock) + 1));
  const own = (tk - tq) % keyBlock === 0 ? 1 : 2;
  return { count, own: Array.from({ length: count }, (_, c) => c).slice(-own) };
}

/**
 * Scores of blocks by sums of antidiagonals: within every S x S tile of the score matrix the entries q_{S-1-r} k_r are added up, the sums
 * go through a softmax over the tiles of their row, and the weights are added up by blocks (XAttention, arXiv 2503.16428). Returns the
 * blocks chosen u8 [B,H,R,C] and how close a decision was.
 */
export function xAttentionChoice(
  { q, k }: XAttentionInputs,
  { stride = 8, threshold = 0.9, block = 128, causal = true, sink = causal, norm = 1, scale }: XAttentionOptions = {},
): { chosen: Result; mass: Result; gap: number } {
  const [batches = 0, tq = 0, heads = 0, d = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const factor = (scale ?? d ** -0.5) / stride / norm;
  const [tileRows, tileColumns] = [Math.ceil(tq / stride), Math.ceil(tk / stride)];
  const [rows, columns] = [Math.ceil(tq / block), Math.ceil(tk / block)];
  const chosen = zeros([batches, heads, rows, columns]);
  const mass = zeros([batches, heads, rows, columns]);
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const [queries, keys] = [rowsOf(q, b, h), rowsOf(k, b, Math.floor(h / (heads / kvHeads)))];
      for (let i = 0; i < tileRows; i++) {
        const scores: number[] = [];
        for (let j = 0; j < tileColumns; j++) {
          // the tile's last query must come at or behind its first key
          if (causal && i * stride + stride - 1 + tk - tq < j * stride) break;
          let sum = 0;
          for (let r = 0; r < stride; r++) {
            const [query, key] = [i * stride + stride - 1 - r, j * stride + r];
            if (query < tq && key < tk) sum += product(queries[query]!, keys[key]!);
          }
          scores.push(sum * factor);
        }
        softmaxOf(scores).forEach((p, j) => {
          const at = offset(mass.shape, b, h, Math.floor((i * stride) / block), Math.floor((j * stride) / block));
          mass.data[at] = mass.data[at]! + p;
        });
      }
      for (let r = 0; r < rows; r++) {
        const { count, own } = blocksOfRow(r, { queryBlock: block, keyBlock: block, tq, tk }, causal);
        const forced = new Set(own);
        if (sink && count > 0) forced.add(0);
        const row = Array.from({ length: count }, (_, c) => mass.data[offset(mass.shape, b, h, r, c)]!);
        const choice = heaviest(row, threshold, { forced });
        for (const c of choice.chosen) chosen.data[offset(chosen.shape, b, h, r, c)] = 1;
        gap = Math.min(gap, choice.gap);
      }
    }
  }
  return { chosen, mass, gap };
}

/** Softmax attention over the chosen blocks. */
export function xAttention(
  inputs: XAttentionInputs,
  options: XAttentionOptions = {},
  round: Round = float64,
  { chosen }: { chosen: NdArray } = xAttentionChoice(inputs, options),
): { o: Result; lse: Result } {
  const { block = 128, causal = true, scale } = options;
  const [batches = 0, tq = 0, heads = 0] = inputs.q.shape;
  const tk = inputs.k.shape[1]!;
  const mask = maskOf(
    [batches, heads, tq, tk],
    (b, h, i, j) => chosen.data[offset(chosen.shape, b, h, Math.floor(i / block), Math.floor(j / block))] === 1,
  );
  return attention({ ...inputs, mask }, { causal, ...(scale !== undefined && { scale }) }, round);
}
