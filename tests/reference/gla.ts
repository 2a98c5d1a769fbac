import { expNatural, type Recurrence, recurrence, row } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round } from './ndarray.ts';

/** S_t = e^{g_t} S_{t-1} + k_t^T v_t, o_t = scale q_t S_t with g [B,T,HV] (fla, simple_gla). */
export function simpleGla(
  { g, ...inputs }: Recurrence & { g: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const dk = inputs.q.shape[3]!;
  return recurrence(
    inputs,
    { scale, rows: (b, t, h) => new Array<number>(dk).fill(expNatural(at(g, b, t, h), round)) },
    round,
  );
}

/**
 * S_t = diag(e^{gk_t}) S_{t-1} diag(e^{gv_t}) + k_t^T v_t, o_t = scale q_t S_t with gk [B,T,H,K] and gv [B,T,HV,V], each of which
 * may be left out (Gated Linear Attention, arXiv 2312.06635).
 */
export function gla(
  { gk, gv, ...inputs }: Recurrence & { gk?: NdArray; gv?: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const factors = (x: number[]) => x.map((g) => expNatural(g, round));
  return recurrence(
    inputs,
    {
      scale,
      ...(gk && { rows: (b: number, t: number, _h: number, kh: number) => factors(row(gk, b, t, kh)) }),
      ...(gv && { columns: (b: number, t: number, h: number) => factors(row(gv, b, t, h)) }),
    },
    round,
  );
}

/** S_t = diag(f_t) S_{t-1} + (1 - f_t)^T v_t, o_t = scale q_t S_t with the gate f [B,T,H,K] in [0,1] (HGRN2, arXiv 2404.07904). */
export function hgrn2(
  { q, f, v, initialState, cuSeqlens }: Omit<Recurrence, 'k'> & { f: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const k = { shape: f.shape, data: Float64Array.from(f.data, (x) => round(1 - x)) };
  // In base 2 through the logarithm, as kernels with log gates do.
  const decay = (x: number) => (round.base2 ? expNatural(round(Math.log(x)), round) : x);
  return recurrence(
    { q, k, v, initialState, cuSeqlens },
    { scale, rows: (b, t, _h, kh) => row(f, b, t, kh).map(decay) },
    round,
  );
}
