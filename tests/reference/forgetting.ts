import { softmax } from './attention.ts';
import { at, dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/**
 * Causal softmax attention whose logits carry the decay from key to query, g[j+1] + ... + g[i] with g [B,T,Hq] in natural log;
 * windowSize w sees 0 <= i - j < w: o [B,T,Hq,Dv] (Forgetting Transformer, arXiv 2503.02130).
 */
export function forgettingAttn(
  { q, k, v, g }: { q: NdArray; k: NdArray; v: NdArray; g: NdArray },
  { windowSize = Number.POSITIVE_INFINITY, scale }: { windowSize?: number; scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, hq = 0, d = 0] = q.shape;
  const [, , hkv = 0, dv = 0] = v.shape;
  const o = zeros([batches, t, hq, dv]);
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < hq; h++) {
        const kvHead = Math.floor(h / (hq / hkv));
        const keys: number[] = [];
        const logits: number[] = [];
        let decay = 0;
        // From the query back, so that the sum is as exact as its own size allows, however far the cumulative sum has gone.
        for (let j = i; j >= 0 && i - j < windowSize; j--) {
          const s = round(
            round(scale ?? d ** -0.5) *
              dot(q.data, offset(q.shape, b, i, h, 0), 1, k.data, offset(k.shape, b, j, kvHead, 0), 1, d, round),
          );
          keys.push(j);
          logits.push(round(s + decay));
          decay = round(decay + at(g, b, j, h));
        }
        const { p } = softmax(logits, round);
        const to = offset(o.shape, b, i, h, 0);
        keys.forEach((j, n) => {
          const from = offset(v.shape, b, j, kvHead, 0);
          for (let c = 0; c < dv; c++) o.data[to + c] = round(o.data[to + c]! + round(p[n]! * v.data[from + c]!));
        });
      }
  return { o };
}
