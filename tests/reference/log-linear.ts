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

/** Operands of logLinearAttn. */
export interface LogLinearInputs {
  /** [B,T,H,K] */
  q: NdArray;
  k: NdArray;
  /** [B,T,HV,V] */
  v: NdArray;
  /** [B,T,HV] */
  g: NdArray;
  /** [B,T,HV,L] */
  levelScales: NdArray;
  /** [N,HV,S,K,V]: slot s holds the 2^s tokens of bit s of the position. */
  initialState?: NdArray;
  /** [N] */
  initialPosition?: NdArray;
  cuSeqlens?: NdArray;
}

/**
 * o_i = sum_l levelScales_i[l] q_i S_i^l. Level 0 is the token itself; level l >= 1 is there where i mod 2^l >= 2^{l-1}, and is the state
 * S_t = e^{g_t} S_{t-1} + k_t^T v_t of the 2^{l-1} tokens before i - (i mod 2^{l-1}), left to decay since
 * (Log-Linear Attention, arXiv 2506.04761; fla, naive_log_linear_attn).
 */
export function logLinearAttn(
  { q, k, v, g, levelScales, initialState, initialPosition, cuSeqlens }: LogLinearInputs,
  _options: object = {},
  round: Round = float64,
): { o: Result; finalState: Result; position: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const levels = levelScales.shape[3]!;
  const spans = sequences(v, cuSeqlens);
  const before = (n: number) => (initialPosition ? at(initialPosition, n) : 0);
  const o = zeros(v.shape);
  const finalState = zeros([spans.length, heads, levels, dk, dv]);
  // As [N, HV * L, K, V], so that matrix h * L + s is slot s of head h.
  const slots: Result = { shape: [spans.length, heads * levels, dk, dv], data: finalState.data };
  if (initialState) {
    const given = carried(initialState, initialState.shape);
    for (let n = 0; n < spans.length; n++)
      for (let h = 0; h < heads; h++)
        for (let s = 0; 2 ** s <= before(n); s++)
          for (let c = 0; c < dk; c++) setRow(finalState, row(given, n, h, s, c), n, h, s, c);
  }
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const i = before(n) + t - spans[n]!.from;
    const query = row(q, b, t, kh);
    const keys = row(k, b, t, kh);
    const values = row(v, b, t, h);
    const decay = new Array<number>(dk).fill(expNatural(at(g, b, t, h), round));
    for (let s = 0; s < levels; s++) scaleRows(slots, n, h * levels + s, decay, round);
    const own: Result = zeros([1, 1, dk, dv]);
    addOuter(own, 0, 0, keys, values, round);
    let sum = times(readOut(query, own, 0, 0, round), at(levelScales, b, t, h, 0), round);
    for (let l = 1; l < levels; l++) {
      if (i % 2 ** l < 2 ** (l - 1)) continue;
      const read = times(readOut(query, slots, n, h * levels + l - 1, round), at(levelScales, b, t, h, l), round);
      sum = sum.map((x, d) => round(x + read[d]!));
    }
    setRow(o, sum, b, t, h);
    // The token is carried up to the first bit of i that is not set; the slots below it empty into that one.
    let to = 0;
    while (Math.floor(i / 2 ** to) % 2 === 1) to++;
    for (let c = 0; c < dk; c++) {
      let total = row(own, 0, 0, c);
      for (let s = 0; s < to; s++) {
        const slot = row(slots, n, h * levels + s, c);
        total = total.map((x, d) => round(x + slot[d]!));
        setRow(slots, new Array<number>(dv).fill(0), n, h * levels + s, c);
      }
      setRow(slots, total, n, h * levels + to, c);
    }
  });
  const position = zeros([spans.length]);
  for (const { n, from, to } of spans) position.data[n] = before(n) + to - from;
  return { o, finalState, position };
}
