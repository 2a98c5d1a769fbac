import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of mom. */
export interface MomInputs {
  /** [B,T,H,K] */
  q: NdArray;
  /** [B,T,M,H,K] or [B,T,H,K] */
  k: NdArray;
  /** [B,T,M,HV,V] or [B,T,HV,V] */
  v: NdArray;
  /** [B,T,M,HV] or [B,T,HV] */
  g?: NdArray;
  /** [B,T,M,H,K] or [B,T,H,K] */
  gk?: NdArray;
  /** [B,T,M]; 0 where a token skips a memory. */
  weights: NdArray;
  /** [N,M,HV,K,V] */
  initialState?: NdArray;
  cuSeqlens?: NdArray;
}

/**
 * M memories, each of which takes part in the tokens of nonzero weight only and else stays as it is:
 * S^m_t = e^{g_t} S^m_{t-1} + k_t^T v_t where weights_t[m] != 0, o_t = scale sum_m weights_t[m] q_t S^m_t. The memory that all tokens
 * share is a column of ones (Mixture-of-Memories, arXiv 2502.13685).
 */
export function mom(
  { q, k, v, g, gk, weights, initialState, cuSeqlens }: MomInputs,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [batches = 0, length = 0, keyHeads = 0, dk = 0] = q.shape;
  const [heads = 0, dv = 0] = v.shape.slice(-2);
  const memories = weights.shape[2]!;
  const o = zeros([batches, length, heads, dv]);
  const count = sequences(o, cuSeqlens).length;
  const finalState = carried(initialState, [count, memories, heads, dk, dv]);
  // As [N * M, HV, K, V]
  const states: Result = { shape: [count * memories, heads, dk, dv], data: finalState.data };
  const factor = round(scale ?? dk ** -0.5);
  forEachToken(o, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const query = times(row(q, b, t, kh), factor, round);
    const sum = new Array<number>(dv).fill(0);
    for (let m = 0; m < memories; m++) {
      const weight = at(weights, b, t, m);
      if (weight === 0) continue;
      const state = n * memories + m;
      const key = k.shape.length === 5 ? row(k, b, t, m, kh) : row(k, b, t, kh);
      const value = v.shape.length === 5 ? row(v, b, t, m, h) : row(v, b, t, h);
      const gates = new Array<number>(dk).fill(0);
      if (g) gates.fill(g.shape.length === 4 ? at(g, b, t, m, h) : at(g, b, t, h));
      if (gk) gates.splice(0, dk, ...(gk.shape.length === 5 ? row(gk, b, t, m, kh) : row(gk, b, t, kh)));
      const decays = gates.map((x) => expNatural(x, round));
      scaleRows(states, state, h, decays, round);
      addOuter(states, state, h, key, value, round);
      const read = readOut(query, states, state, h, round);
      for (let d = 0; d < dv; d++) sum[d] = round(sum[d]! + round(weight * read[d]!));
    }
    setRow(o, sum, b, t, h);
  });
  return { o, finalState };
}
