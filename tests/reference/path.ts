import { softmax } from './attention.ts';
import { inner, row, setRow } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';

/** Operands of PaTH attention. */
export interface PathOperands {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  w: NdArray;
  beta: NdArray;
  g?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** Softmax of logits of keys i, i - 1, ..., and the mean of their values. */
function mean(
  logits: readonly number[],
  v: NdArray,
  { b, i, kvHead }: { b: number; i: number; kvHead: number },
  round: Round,
): number[] {
  const { p } = softmax(logits, round);
  const sum = new Array<number>(v.shape[3]!).fill(0);
  for (let n = 0; n < p.length; n++)
    for (let c = 0; c < sum.length; c++) sum[c] = round(sum[c]! + round(p[n]! * at(v, b, i - n, kvHead, c)));
  return sum;
}

/**
 * Causal softmax attention with scores q_i H_i H_{i-1} ... H_{j+1} k_j, H_t = I - beta_t w_t^T w_t, the query carried
 * back one token at a time; g [B,T,Hq] decays from key to query, times scale unless scaleGates is false (PaTH
 * attention, arXiv 2505.16381).
 */
export function pathAttn(
  { q, k, v, w, beta, g, cuSeqlens }: PathOperands,
  { scale, scaleGates = true }: { scale?: number; scaleGates?: boolean } = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, hq = 0, d = 0] = q.shape;
  const [, , hkv = 0, dv = 0] = v.shape;
  const factor = round(scale ?? d ** -0.5);
  const o = zeros([batches, t, hq, dv]);
  for (const { batch: b, begin, end } of spansOf(q, cuSeqlens))
    for (let i = begin; i < end; i++)
      for (let h = 0; h < hq; h++) {
        const kvHead = Math.floor(h / (hq / hkv));
        const logits: number[] = [];
        const carried = row(q, b, i, h);
        let decay = 0;
        for (let j = i; j >= begin; j--) {
          const score = round(factor * inner(carried, row(k, b, j, kvHead), round));
          logits.push(round(score + (scaleGates ? round(factor * decay) : decay)));
          if (g) decay = round(decay + at(g, b, j, h));
          const direction = row(w, b, j, kvHead);
          const part = round(at(beta, b, j, kvHead) * inner(carried, direction, round));
          for (let c = 0; c < d; c++) carried[c] = round(carried[c]! - round(part * direction[c]!));
        }
        setRow(o, mean(logits, v, { b, i, kvHead }, round), b, i, h);
      }
  return { o };
}

/**
 * The same by the UT transform of the whole sequence, as the paper writes it, of one sequence and without gates: all
 * scores at once, tril(q k^T) - tril(q w^T) (I + tril_<(beta w w^T))^-1 tril_<(beta w k^T). It takes small scores as
 * differences of large ones.
 */
export function pathAttnTransformed(
  { q, k, v, w, beta }: PathOperands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, hq = 0, d = 0] = q.shape;
  const [, , hkv = 0, dv = 0] = v.shape;
  const factor = round(scale ?? d ** -0.5);
  const o = zeros([batches, t, hq, dv]);
  for (let b = 0; b < batches; b++)
    for (let h = 0; h < hq; h++) {
      const kvHead = Math.floor(h / (hq / hkv));
      const [keys, directions] = [k, w].map((x) => Array.from({ length: t }, (_, i) => row(x, b, i, kvHead))) as [
        number[][],
        number[][],
      ];
      const strength = Array.from({ length: t }, (_, i) => at(beta, b, i, kvHead));
      // z[r][j] = beta_r (w_r k_j - sum_{j < s < r} w_r w_s z[s][j])
      const overlaps = directions.map((x) => directions.map((y) => inner(x, y, round)));
      const z = directions.map(() => new Array<number>(t).fill(0));
      for (let j = 0; j < t; j++)
        for (let r = j + 1; r < t; r++) {
          let sum = inner(directions[r]!, keys[j]!, round);
          for (let s = j + 1; s < r; s++) sum = round(sum - round(overlaps[r]![s]! * z[s]![j]!));
          z[r]![j] = round(strength[r]! * sum);
        }
      for (let i = 0; i < t; i++) {
        const query = row(q, b, i, h);
        const along = directions.map((x) => inner(query, x, round));
        const logits: number[] = [];
        for (let j = i; j >= 0; j--) {
          let score = inner(query, keys[j]!, round);
          for (let r = j + 1; r <= i; r++) score = round(score - round(along[r]! * z[r]![j]!));
          logits.push(round(factor * score));
        }
        setRow(o, mean(logits, v, { b, i, kvHead }, round), b, i, h);
      }
    }
  return { o };
}
