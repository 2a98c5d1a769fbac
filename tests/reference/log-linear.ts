import { expNatural, inner, row, setRow } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Level of key j for query i: 0 for the token itself, else the highest of the bits of i that lead from j + 1 up to i. */
function level(i: number, j: number): number {
  for (let l = 1; ; l++) {
    const half = 2 ** (l - 1);
    const end = i - (i % half);
    if (i % (2 * half) >= half && j >= end - half && j < end) return l;
    if (half > i) return 0;
  }
}

/**
 * o_i = sum_{j <= i} levelScales_i[level(i, j)] e^{g_{j+1} + ... + g_i} (q_i k_j) v_j with Fenwick levels: level l >= 1 where
 * i mod 2^l >= 2^{l-1}, for the 2^{l-1} keys before i - (i mod 2^{l-1}); g [B,T,HV], levelScales [B,T,HV,L]
 * (Log-Linear Attention, arXiv 2506.04761; fla, naive_log_linear_attn).
 */
export function logLinearAttn(
  { q, k, v, g, levelScales }: { q: NdArray; k: NdArray; v: NdArray; g: NdArray; levelScales: NdArray },
  _options: object = {},
  round: Round = float64,
): { o: Result } {
  const [, , keyHeads = 0] = q.shape;
  const [batches = 0, length = 0, heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  for (let b = 0; b < batches; b++)
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / keyHeads));
      const keys = Array.from({ length }, (_, j) => row(k, b, j, kh));
      const values = Array.from({ length }, (_, j) => row(v, b, j, h));
      for (let i = 0; i < length; i++) {
        const query = row(q, b, i, kh);
        const sum = new Array<number>(dv).fill(0);
        let decay = 0;
        for (let j = i; j >= 0; j--) {
          const share = round(at(levelScales, b, i, h, level(i, j)) * expNatural(decay, round));
          const weight = round(share * inner(query, keys[j]!, round));
          for (let d = 0; d < dv; d++) sum[d] = round(sum[d]! + round(weight * values[j]![d]!));
          decay = round(decay + at(g, b, j, h));
        }
        setRow(o, sum, b, i, h);
      }
    }
  return { o };
}
