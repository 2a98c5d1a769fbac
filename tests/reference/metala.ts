import { expNatural, inner, type Recurrence, recurrence, row, setRow, sigmoid } from './linear.ts';
import { float64, type NdArray, type Result, type Round } from './ndarray.ts';

/**
 * S_t = diag(e^{g_t}) S_{t-1} + (1 - e^{g_t})^T v_t, o_t = scale q_t S_t + sigmoid(q_t (aug k_t)) v_t with k_t = 1 - e^{g_t},
 * g [B,T,H,K], aug [H,K] (MetaLA, arXiv 2411.10741).
 */
export function metala(
  { q, v, g, aug, initialState, cuSeqlens }: Omit<Recurrence, 'k'> & { g: NdArray; aug: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const decay = { shape: g.shape, data: Float64Array.from(g.data, (x) => expNatural(x, round)) };
  // expm1, as the difference loses what a slow decay writes
  const k = { shape: g.shape, data: Float64Array.from(g.data, (x) => round(-Math.expm1(x))) };
  const [batches = 0, length = 0, keyHeads = 0] = q.shape;
  const heads = v.shape[2]!;
  const { o, finalState } = recurrence(
    { q, k, v, initialState, cuSeqlens },
    { scale, rows: (b, t, _h, kh) => row(decay, b, t, kh) },
    round,
  );
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++) {
        const kh = Math.floor(h / (heads / keyHeads));
        const key = row(k, b, t, kh);
        const augmented = row(aug, kh).map((a, c) => round(a * key[c]!));
        const share = sigmoid(inner(row(q, b, t, kh), augmented, round), round);
        const value = row(v, b, t, h);
        setRow(
          o,
          row(o, b, t, h).map((x, d) => round(x + round(share * value[d]!))),
          b,
          t,
          h,
        );
      }
  return { o, finalState };
}
