import { type AttentionOptions, forEachRow } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** sum_j p_j (1 + E_p[s] - s_j) v_j with p = softmax(scale q.k) and s_j = r.k_j, unscaled: o [B,Tq,Hq,Dv] (Parallax, as in fla). */
export function parallax(
  { q, k, v, r }: { q: NdArray; k: NdArray; v: NdArray; r: NdArray },
  options: Pick<AttentionOptions, 'causal' | 'scale'> = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, tq = 0, hq = 0, d = 0] = q.shape;
  const dv = v.shape[3]!;
  const o = zeros([batches, tq, hq, dv]);
  forEachRow({ q, k, v }, options, round, ({ b, i, h, kvHead }, keys, p) => {
    const second = keys.map((j) =>
      dot(r.data, offset(r.shape, b, i, h, 0), 1, k.data, offset(k.shape, b, j, kvHead, 0), 1, d, round),
    );
    const mean = dot(p, 0, 1, second, 0, 1, keys.length, round);
    const to = offset(o.shape, b, i, h, 0);
    keys.forEach((j, n) => {
      const weight = round(p[n]! * round(round(1 + mean) - second[n]!));
      const from = offset(v.shape, b, j, kvHead, 0);
      for (let c = 0; c < dv; c++) o.data[to + c] = round(o.data[to + c]! + round(weight * v.data[from + c]!));
    });
  });
  return { o };
}
