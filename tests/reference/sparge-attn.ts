import { attention } from './attention.ts';
import { heaviest, largest, maskOf, meanBlocks, product, rowOf, softmaxOf } from './block-choice.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { blocksOfRow } from './xattention.ts';

/** Operands of spargeAttn. */
export interface SpargeAttnInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** Options of spargeAttn; theta and cdf may be one a head. */
export interface SpargeAttnOptions {
  theta?: number | readonly number[];
  cdf?: number | readonly number[];
  topK?: number;
  smoothK?: boolean;
  sink?: boolean;
  causal?: boolean;
  scale?: number;
}

const [QUERY_BLOCK, KEY_BLOCK] = [128, 64];

const ofHead = (x: number | readonly number[], h: number) => (typeof x === 'number' ? x : x[h]!);

/** Mean of all cosines between the rows of each block, itself included; NaN where a row is zero. */
export function selfSimilarity(x: NdArray, block: number): Result {
  const [batches = 0, length = 0, heads = 0] = x.shape;
  const o = zeros([batches, Math.ceil(length / block), heads]);
  for (let b = 0; b < batches; b++) {
    for (let n = 0; n < o.shape[1]!; n++) {
      for (let h = 0; h < heads; h++) {
        const unit: number[][] = [];
        for (let t = n * block; t < Math.min(length, (n + 1) * block); t++) {
          const row = rowOf(x, b, t, h);
          const norm = Math.sqrt(product(row, row));
          unit.push(row.map((y) => y / norm));
        }
        let sum = 0;
        for (const u of unit) for (const w of unit) sum += product(u, w);
        o.data[offset(o.shape, b, n, h)] = sum / unit.length ** 2;
      }
    }
  }
  return o;
}

/** x [B,T,H,D] less its mean over T. */
function centred(x: NdArray): NdArray {
  const [batches = 0, length = 0, heads = 0, d = 0] = x.shape;
  const o = zeros(x.shape);
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      for (let c = 0; c < d; c++) {
        let mean = 0;
        for (let t = 0; t < length; t++) mean += x.data[offset(x.shape, b, t, h, c)]! / length;
        for (let t = 0; t < length; t++) {
          const at = offset(x.shape, b, t, h, c);
          o.data[at] = x.data[at]! - mean;
        }
      }
    }
  }
  return o;
}

/**
 * Blocks of 128 queries and 64 keys by their means: softmax of the means' products over the key blocks that are alike in themselves, of
 * which the heaviest are taken as long as they do not pass `cdf` (or the `topK` share of all blocks), one at least; blocks that are not
 * alike are always computed (SpargeAttn, arXiv 2502.18137, spas_sage_attn/utils.py).
 */
export function spargeAttnChoice(
  { q, k }: SpargeAttnInputs,
  { theta = 0.6, cdf = 0.98, topK, smoothK = true, sink = false, causal = false, scale }: SpargeAttnOptions = {},
): { chosen: Result; gap: number } {
  const [batches = 0, tq = 0, heads = 0, d = 0] = q.shape;
  const [, tk = 0, kvHeads = 0] = k.shape;
  const keys = smoothK ? centred(k) : k;
  const [meanQ, meanK] = [meanBlocks(q, QUERY_BLOCK), meanBlocks(keys, KEY_BLOCK)];
  const [likeQ, likeK] = [selfSimilarity(q, QUERY_BLOCK), selfSimilarity(keys, KEY_BLOCK)];
  const [rows, columns] = [meanQ.shape[1]!, meanK.shape[1]!];
  const chosen = zeros([batches, heads, rows, columns]);
  let gap = Number.POSITIVE_INFINITY;
  const alike = (x: number, h: number) => {
    gap = Math.min(gap, Number.isNaN(x) ? gap : Math.abs(x - ofHead(theta, h)));
    return x > ofHead(theta, h);
  };
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / kvHeads));
      const similar = Array.from({ length: columns }, (_, c) => alike(likeK.data[offset(likeK.shape, b, c, kh)]!, h));
      for (let r = 0; r < rows; r++) {
        const { count } = blocksOfRow(r, { queryBlock: QUERY_BLOCK, keyBlock: KEY_BLOCK, tq, tk }, causal);
        const scores = Array.from({ length: count }, (_, c) =>
          similar[c]
            ? product(rowOf(meanQ, b, r, h), rowOf(meanK, b, c, kh)) * (scale ?? d ** -0.5)
            : Number.NEGATIVE_INFINITY,
        );
        const some = scores.some((s) => s > Number.NEGATIVE_INFINITY);
        const mass = softmaxOf(scores.length > 0 ? scores : [0]);
        const all = !alike(likeQ.data[offset(likeQ.shape, b, r, h)]!, h);
        const few =
          topK === undefined
            ? heaviest(mass, ofHead(cdf, h), { minimum: 1, crossing: false })
            : largest(mass, Math.max(1, Math.floor(topK * columns)));
        if (some && !all) gap = Math.min(gap, few.gap);
        for (let c = 0; c < count; c++) {
          const shown = all || !similar[c] || (some && few.chosen.has(c)) || (sink && c === 0);
          chosen.data[offset(chosen.shape, b, h, r, c)] = shown ? 1 : 0;
        }
      }
    }
  }
  return { chosen, gap };
}

/** Softmax attention over the chosen blocks. */
export function spargeAttn(
  inputs: SpargeAttnInputs,
  options: SpargeAttnOptions = {},
  round: Round = float64,
  { chosen }: { chosen: NdArray } = spargeAttnChoice(inputs, options),
): { o: Result; lse: Result } {
  const { causal = false, scale } = options;
  const [batches = 0, tq = 0, heads = 0] = inputs.q.shape;
  const tk = inputs.k.shape[1]!;
  const mask = maskOf(
    [batches, heads, tq, tk],
    (b, h, i, j) =>
      chosen.data[offset(chosen.shape, b, h, Math.floor(i / QUERY_BLOCK), Math.floor(j / KEY_BLOCK))] === 1,
  );
  return attention({ ...inputs, mask }, { causal, ...(scale !== undefined && { scale }) }, round);
}
