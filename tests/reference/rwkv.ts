import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  inner,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of both; the shapes are those of the ops. */
export interface RwkvInputs {
  r: NdArray;
  k: NdArray;
  v: NdArray;
  /** Log decays: [H,K] of rwkv5, [B,T,H,K] of rwkv6. */
  w: NdArray;
  /** [H,K] */
  u: NdArray;
  initialState?: NdArray;
  cuSeqlens?: NdArray;
}

/**
 * o_t = scale r_t (S_{t-1} + diag(u) k_t^T v_t), S_t = diag(e^{w_t}) S_{t-1} + k_t^T v_t: the output reads the state before the
 * update (Eagle and Finch, arXiv 2404.05892).
 */
export function rwkv6(
  { r, k, v, w, u, initialState, cuSeqlens }: RwkvInputs,
  { scale = 1 }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [, , keyHeads = 0, dk = 0] = r.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [sequences(v, cuSeqlens).length, heads, dk, dv]);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const receptance = times(row(r, b, t, kh), round(scale), round);
    const key = row(k, b, t, kh);
    const value = row(v, b, t, h);
    const bonus = inner(
      receptance,
      row(u, kh).map((x, c) => round(x * key[c]!)),
      round,
    );
    const seen = readOut(receptance, finalState, n, h, round);
    setRow(
      o,
      seen.map((x, d) => round(x + round(bonus * value[d]!))),
      b,
      t,
      h,
    );
    const log = w.shape.length === 2 ? row(w, kh) : row(w, b, t, kh);
    scaleRows(
      finalState,
      n,
      h,
      log.map((x) => expNatural(x, round)),
      round,
    );
    addOuter(finalState, n, h, key, value, round);
  });
  return { o, finalState };
}

/** rwkv6 whose decay does not change over time: w [H,K] (Eagle, arXiv 2404.05892). */
export function rwkv5(
  inputs: RwkvInputs,
  options: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  return rwkv6(inputs, options, round);
}
