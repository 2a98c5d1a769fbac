import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  type Recurrence,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/**
 * M memories of simpleGla, each of which takes part in the tokens of nonzero weight only and else stays as it is:
 * S^m_t = e^{g_t} S^m_{t-1} + k_t^T v_t where weights_t[m] != 0, o_t = scale sum_m weights_t[m] q_t S^m_t;
 * g [B,T,HV] (no decay where left out), weights [B,T,M], states [N,M,HV,K,V]. The memory that all tokens share is a column of ones
 * (Mixture-of-Memories, arXiv 2502.13685).
 */
export function mom(
  { q, k, v, g, weights, initialState, cuSeqlens }: Recurrence & { g?: NdArray; weights: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const memories = weights.shape[2]!;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [count, memories, heads, dk, dv]);
  // As [N * M, HV, K, V]
  const states: Result = { shape: [count * memories, heads, dk, dv], data: finalState.data };
  const factor = round(scale ?? dk ** -0.5);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const query = times(row(q, b, t, kh), factor, round);
    const sum = new Array<number>(dv).fill(0);
    for (let m = 0; m < memories; m++) {
      const weight = at(weights, b, t, m);
      if (weight === 0) continue;
      const state = n * memories + m;
      if (g) scaleRows(states, state, h, new Array<number>(dk).fill(expNatural(at(g, b, t, h), round)), round);
      addOuter(states, state, h, row(k, b, t, kh), row(v, b, t, h), round);
      const read = readOut(query, states, state, h, round);
      for (let d = 0; d < dv; d++) sum[d] = round(sum[d]! + round(weight * read[d]!));
    }
    setRow(o, sum, b, t, h);
  });
  return { o, finalState };
}
