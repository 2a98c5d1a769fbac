import { expNatural, inner, type Recurrence, recurrence, row, setRow } from './linear.ts';
import { exp, float64, log, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/**
 * S_t = diag(e^{-g_t tau_t}) S_{t-1} + (k_t/|k_t| g_t^{tau_t})^T v_t, o_t = scale q_t S_t with g [B,T,H,K] > 0 (a softplus) and
 * tau [B,T,H,K] in (0,1) (a sigmoid); |k_t| is at least 1e-12 (Rodimus, arXiv 2410.06577; fla, layers/rodimus).
 */
export function rodimus(
  { g, tau, k, ...inputs }: Recurrence & { g: NdArray; tau: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [batches = 0, length = 0, keyHeads = 0] = k.shape;
  const keys = zeros(k.shape);
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < keyHeads; h++) {
        const key = row(k, b, t, h);
        const norm = Math.max(round(Math.sqrt(inner(key, key, round))), 1e-12);
        const temper = row(tau, b, t, h);
        const power = row(g, b, t, h).map((x, c) => exp(round(temper[c]! * log(x, round)), round));
        setRow(
          keys,
          key.map((x, c) => round(round(x / norm) * power[c]!)),
          b,
          t,
          h,
        );
      }
  const rows = (b: number, t: number, _h: number, kh: number) => {
    const temper = row(tau, b, t, kh);
    return row(g, b, t, kh).map((x, c) => expNatural(-round(x * temper[c]!), round));
  };
  return recurrence({ ...inputs, k: keys }, { scale, rows }, round);
}
