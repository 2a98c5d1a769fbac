import { attention } from './attention.ts';
import { heaviest, maskOf, product, rowOf, rowsOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of sampleAttention. */
export interface SampleAttentionInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** Options of sampleAttention. */
export interface SampleAttentionOptions {
  window?: number;
  sample?: number;
  coverage?: number;
  scale?: number;
}

/** The sampled rows: every so many, counted from the last query backwards. */
export function sampledRows(tq: number, sample: number): number[] {
  if (tq === 0) return [];
  const step = Math.max(1, Math.round(1 / sample));
  const count = Math.ceil(tq / step);
  return Array.from({ length: count }, (_, n) => tq - 1 - (count - 1 - n) * step);
}

/**
 * Columns u8 [B,H,Tk] that every later query sees besides its window: the smallest set whose sums over the softmax weights of sampled
 * queries reach a share of all (SampleAttention, arXiv 2406.15486).
 */
export function sampleAttentionChoice(
  { q, k }: SampleAttentionInputs,
  { sample = 0.05, coverage = 0.95, scale }: SampleAttentionOptions = {},
): { columns: Result; gap: number } {
  const [batches = 0, tq = 0, heads = 0, d = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const columns = zeros([batches, heads, tk]);
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const keys = rowsOf(k, b, Math.floor(h / (heads / kvHeads)));
      const sums = new Array<number>(tk).fill(0);
      for (const i of sampledRows(tq, sample)) {
        const position = i + tk - tq;
        if (position < 0) continue;
        const query = rowOf(q, b, i, h);
        const scores = keys.slice(0, position + 1).map((key) => (scale ?? d ** -0.5) * product(query, key));
        softmaxOf(scores).forEach((p, j) => {
          sums[j] = sums[j]! + p;
        });
      }
      const choice = heaviest(sums, coverage);
      gap = Math.min(gap, choice.gap);
      for (const j of choice.chosen) columns.data[offset(columns.shape, b, h, j)] = 1;
    }
  }
  return { columns, gap };
}

/** Causal softmax attention over a window of a share of the keys and the chosen columns. */
export function sampleAttention(
  inputs: SampleAttentionInputs,
  options: SampleAttentionOptions = {},
  round: Round = float64,
  { columns }: { columns: NdArray } = sampleAttentionChoice(inputs, options),
): { o: Result; lse: Result } {
  const { window = 0.08, scale } = options;
  const [batches = 0, tq = 0, heads = 0] = inputs.q.shape;
  const tk = inputs.k.shape[1]!;
  const width = Math.max(1, Math.ceil(window * tk));
  const mask = maskOf(
    [batches, heads, tq, tk],
    (b, h, i, j) => i + tk - tq - j < width || columns.data[offset(columns.shape, b, h, j)] === 1,
  );
  return attention({ ...inputs, mask }, { causal: true, ...(scale !== undefined && { scale }) }, round);
}
