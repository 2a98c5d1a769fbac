import {
  addOuter,
  carried,
  forEachToken,
  type Recurrence,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { normalised } from './slots.ts';

/**
 * S_t = diag(e^{z_{t-1} - z_t}) S_{t-1} + (e^{k_t - z_t})^T v_t, o_t = scale q_t S_t, z the running logcumsumexp of k: z [N,H,K],
 * -Infinity before the first token (LightNet, arXiv 2405.21022).
 */
export function lightnet(
  { q, k, v, initialState, initialZ, cuSeqlens }: Recurrence & { initialZ?: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result; z: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [count, heads, dk, dv]);
  const z = carried(initialZ, [count, keyHeads, dk], Number.NEGATIVE_INFINITY);
  const factor = round(scale ?? dk ** -0.5);
  let gates = { decay: [] as number[], write: [] as number[] };
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    if (h % (heads / keyHeads) === 0) gates = normalised(z, row(k, b, t, kh), n, kh, round);
    scaleRows(finalState, n, h, gates.decay, round);
    addOuter(finalState, n, h, gates.write, row(v, b, t, h), round);
    setRow(o, readOut(times(row(q, b, t, kh), factor, round), finalState, n, h, round), b, t, h);
  });
  return { o, finalState, z };
}
