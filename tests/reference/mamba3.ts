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
  /** [B,T,G,K]: C, normed and with its bias. */
  q: NdArray;
  /** [B,T,G,K]: B, normed and with its bias. */
  k: NdArray;
  /** [B,T,H,P] */
  x: NdArray;
  /** [B,T,H], after the softplus. */
  dt: NdArray;
  /** [H] or [B,T,H], at most 0. */
  A: NdArray;
  /** [B,T,H] in [0,1]: share of the token itself in the trapezoid. */
  lambda: NdArray;
  /** [B,T,H,R] with 2R <= K, before the tanh: pair r turns by pi tanh(angle) dt; the pairs beyond R do not turn. */
  angle: NdArray;
  /** [H] */
  D?: NdArray;
  /** [B,T,H,P] */
  z?: NdArray;
  /** [N,H,K,P] */
  initialState?: NdArray;
  /** [N,H,R] */
  initialAngle?: NdArray;
  /** [N,H,K]: the last key, turned. */
  initialK?: NdArray;
  /** [N,H,P]: the last x. */
  initialX?: NdArray;
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
 * S_t = a_t S_{t-1} + (1 - lambda_t) dt_t a_t k'_{t-1}^T x_{t-1} + lambda_t dt_t k'_t^T x_t with a_t = e^{A_t dt_t},
 * o_t = (q'_t S_t + D x_t) silu(z_t); q', k' are q, k turned by theta_t = theta_{t-1} + pi tanh(angle_t) dt_t mod 2 pi
 * (Mamba-3, SISO; state-spaces/mamba, mamba3_siso_step_ref).
 */
export function mamba3(
  inputs: Mamba3Inputs,
  _options: object = {},
  round: Round = float64,
): { o: Result; finalState: Result; finalAngle: Result; finalK: Result; finalX: Result } {
  const { q, k, x, dt, A, lambda, angle, D, z, cuSeqlens } = inputs;
  const [, , groups = 0, dk = 0] = q.shape;
  const [, , heads = 0, size = 0] = x.shape;
  const count = sequences(x, cuSeqlens).length;
  const o = zeros(x.shape);
  const finalState = carried(inputs.initialState, [count, heads, dk, size]);
  const finalAngle = carried(inputs.initialAngle, [count, heads, angle.shape[3]!]);
  const finalK = carried(inputs.initialK, [count, heads, dk]);
  const finalX = carried(inputs.initialX, [count, heads, size]);
  forEachToken(x, groups, cuSeqlens, ({ n, b, t, h, kh }) => {
    const step = at(dt, b, t, h);
    const before = row(finalAngle, n, h);
    const angles = row(angle, b, t, h).map((raw, r) => {
      const sum = round(before[r]! + round(round(round(Math.PI) * round(Math.tanh(raw))) * step));
      return round(sum - round(TURN * Math.floor(round(sum / TURN))));
    });
    const key = turned(row(k, b, t, kh), angles, round);
    const value = row(x, b, t, h);
    const rate = A.shape.length === 1 ? at(A, h) : at(A, b, t, h);
    const decay = expNatural(round(rate * step), round);
    const own = round(at(lambda, b, t, h) * step);
    const last = round(round(round(1 - at(lambda, b, t, h)) * step) * decay);
    scaleRows(finalState, n, h, new Array<number>(dk).fill(decay), round);
    addOuter(finalState, n, h, times(row(finalK, n, h), last, round), row(finalX, n, h), round);
    addOuter(finalState, n, h, times(key, own, round), value, round);
    const seen = readOut(turned(row(q, b, t, kh), angles, round), finalState, n, h, round);
    const skipped = D ? seen.map((y, d) => round(y + round(at(D, h) * value[d]!))) : seen;
    const gated = z ? skipped.map((y, d) => round(y * silu(at(z, b, t, h, d), round))) : skipped;
    setRow(o, gated, b, t, h);
    setRow(finalAngle, angles, n, h);
    setRow(finalK, key, n, h);
    setRow(finalX, value, n, h);
  });
  return { o, finalState, finalAngle, finalK, finalX };
}
