import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  inner,
  type Recurrence,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  softplus,
  times,
} from './linear.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/**
 * m_t = max(f'_t + m_{t-1}, i_t), C_t = e^{f'_t + m_{t-1} - m_t} C_{t-1} + e^{i_t - m_t} k_t^T v_t, n_t likewise with k_t,
 * o_t = scale q_t C_t / (max(|scale q_t n_t|, e^{-m_t}) + eps), f' = logsigmoid(f), i and f [B,T,HV]:
 * C [N,HV,K,V], n [N,HV,K], m [N,HV,1], zeros at the start (xLSTM, arXiv 2405.04517).
 */
export function mlstm(
  {
    q,
    k,
    v,
    i,
    f,
    initialC,
    initialN,
    initialM,
    cuSeqlens,
  }: Omit<Recurrence, 'initialState'> & {
    i: NdArray;
    f: NdArray;
    initialC?: NdArray;
    initialN?: NdArray;
    initialM?: NdArray;
  },
  { eps = 1e-6, scale }: { eps?: number; scale?: number } = {},
  round: Round = float64,
): { o: Result; finalC: Result; finalN: Result; finalM: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const finalC = carried(initialC, [count, heads, dk, dv]);
  const finalN = carried(initialN, [count, heads, dk]);
  const finalM = carried(initialM, [count, heads, 1]);
  const factor = round(scale ?? dk ** -0.5);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const forget = round(at(finalM, n, h, 0) + -softplus(-at(f, b, t, h), round));
    const m = Math.max(forget, at(i, b, t, h));
    const decay = expNatural(round(forget - m), round);
    const key = times(row(k, b, t, kh), expNatural(round(at(i, b, t, h) - m), round), round);
    finalM.data[offset(finalM.shape, n, h, 0)] = m;
    scaleRows(finalC, n, h, new Array<number>(dk).fill(decay), round);
    addOuter(finalC, n, h, key, row(v, b, t, h), round);
    const normaliser = row(finalN, n, h).map((x, c) => round(round(x * decay) + key[c]!));
    setRow(finalN, normaliser, n, h);
    const query = times(row(q, b, t, kh), factor, round);
    const denominator = round(Math.max(Math.abs(inner(query, normaliser, round)), expNatural(-m, round)) + round(eps));
    setRow(
      o,
      readOut(query, finalC, n, h, round).map((x) => round(x / denominator)),
      b,
      t,
      h,
    );
  });
  return { o, finalC, finalN, finalM };
}
