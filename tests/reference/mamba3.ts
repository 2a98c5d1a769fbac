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
  silu,
  times,
} from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of mamba3; the shapes are those of the op. */
export interface Mamba3Inputs {
  /** [B,T,H,K]: C, normed and with its bias. */
  q: NdArray;
  /** [B,T,H,K]: B, normed and with its bias. */
  k: NdArray;
  /** [B,T,HV,V] */
  v: NdArray;
  /** [B,T,HV], after the softplus. */
  dt: NdArray;
  /** [HV] or [B,T,HV], at most 0. */
  A: NdArray;
  /** [B,T,HV] in [0,1]: share of the token itself in the trapezoid. */
  lambda: NdArray;
  /** [B,T,HV,R] with 2R <= K, before the tanh: pair r turns by pi tanh(angles) dt; the pairs beyond R do not turn. */
  angles: NdArray;
  /** [HV] */
  D?: NdArray;
  /** [B,T,HV,V] */
  z?: NdArray;
  /** [N,HV,K,V] */
  initialState?: NdArray;
  /** [N,HV,R] */
  initialAngle?: NdArray;
  /** [N,HV,K]: the last key, turned. */
  initialKPrev?: NdArray;
  /** [N,HV,V]: the last value. */
  initialVPrev?: NdArray;
  cuSeqlens?: NdArray;
}

const TURN = 2 * Math.PI;

/** Pairs (x[2r], x[2r+1]) turned by the angles. */
function turned(x: readonly number[], angles: readonly number[], round: Round): number[] {
  const y = [...x];
  angles.forEach((angle, r) => {
    const [cos, sin] = [round(Math.cos(angle)), round(Math.sin(angle))];
    const [a, b] = [x[2 * r]!, x[2 * r + 1]!];
    y[2 * r] = round(round(a * cos) - round(b * sin));
    y[2 * r + 1] = round(round(a * sin) + round(b * cos));
  });
  return y;
}

/**
 * S_t = a_t S_{t-1} + (1 - lambda_t) dt_t a_t k'_{t-1}^T v_{t-1} + lambda_t dt_t k'_t^T v_t with a_t = e^{A_t dt_t},
 * o_t = (q'_t S_t + D v_t) silu(z_t); q', k' are q, k turned by theta_t = theta_{t-1} + pi tanh(angles_t) dt_t mod 2 pi
 * (Mamba-3, SISO; state-spaces/mamba, mamba3_siso_step_ref).
 */
export function mamba3(
  inputs: Mamba3Inputs,
  _options: object = {},
  round: Round = float64,
): { o: Result; finalState: Result; angle: Result; kPrev: Result; vPrev: Result } {
  const { q, k, v, dt, A, lambda, angles: raw, D, z, cuSeqlens } = inputs;
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const finalState = carried(inputs.initialState, [count, heads, dk, dv]);
  const angle = carried(inputs.initialAngle, [count, heads, raw.shape[3]!]);
  const kPrev = carried(inputs.initialKPrev, [count, heads, dk]);
  const vPrev = carried(inputs.initialVPrev, [count, heads, dv]);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const step = at(dt, b, t, h);
    const rate = A.shape.length === 1 ? at(A, h) : at(A, b, t, h);
    const before = row(angle, n, h);
    const angles = row(raw, b, t, h).map((x, r) => {
      const sum = round(before[r]! + round(round(round(Math.PI) * round(Math.tanh(x))) * step));
      return round(sum - round(TURN * Math.floor(round(sum / TURN))));
    });
    const key = turned(row(k, b, t, kh), angles, round);
    const value = row(v, b, t, h);
    const decay = expNatural(round(rate * step), round);
    const own = round(at(lambda, b, t, h) * step);
    const late = round(round(round(1 - at(lambda, b, t, h)) * step) * decay);
    scaleRows(finalState, n, h, new Array<number>(dk).fill(decay), round);
    addOuter(finalState, n, h, times(row(kPrev, n, h), late, round), row(vPrev, n, h), round);
    addOuter(finalState, n, h, times(key, own, round), value, round);
    const seen = readOut(turned(row(q, b, t, kh), angles, round), finalState, n, h, round);
    const skipped = D ? seen.map((y, d) => round(y + round(at(D, h) * value[d]!))) : seen;
    const gated = z ? skipped.map((y, d) => round(y * silu(at(z, b, t, h, d), round))) : skipped;
    setRow(o, gated, b, t, h);
    setRow(angle, angles, n, h);
    setRow(kPrev, key, n, h);
    setRow(vPrev, value, n, h);
  });
  return { o, finalState, angle, kPrev, vPrev };
}
