import { type DeltaOutputs, masterRecurrence, products } from './delta.ts';
import { decayOf } from './kda.ts';
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
import { float64, type NdArray, type Round, zeros } from './ndarray.ts';

interface Rwkv7Operands extends Omit<Recurrence, 'q'> {
  /** [B,T,H,K] each; w is a log decay. */
  r: NdArray;
  w: NdArray;
  kk: NdArray;
  a: NdArray;
}

/**
 * S_t = diag(e^{w_t}) S_{t-1} - (kk_t a_t)^T (kk_t S_{t-1}) + k_t^T v_t, o_t = scale r_t S_t with scale 1 (RWKV-7, arXiv 2503.14456).
 */
export function rwkv7(
  { r, w, kk, a, ...inputs }: Rwkv7Operands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  const { k, v, initialState, cuSeqlens } = inputs;
  const [, , keyHeads = 0, dk = 0] = r.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const o = zeros(v.shape);
  const finalState = carried(initialState, [sequences(v, cuSeqlens).length, heads, dk, dv]);
  const decay = decayOf(w, v, round);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const removed = row(kk, b, t, kh);
    const read = readOut(removed, finalState, n, h, round);
    scaleRows(finalState, n, h, decay(b, t, h, kh), round);
    addOuter(finalState, n, h, products(removed, row(a, b, t, kh), round), times(read, -1, round), round);
    addOuter(finalState, n, h, row(k, b, t, kh), row(v, b, t, h), round);
    setRow(o, readOut(times(row(r, b, t, kh), scale ?? 1, round), finalState, n, h, round), b, t, h);
  });
  return { o, finalState };
}

/** As the master recurrence: a = -kk, b = kk a. */
export function rwkv7Dplr(
  { r, w, kk, a, ...inputs }: Rwkv7Operands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  return masterRecurrence(
    { ...inputs, q: r },
    {
      scale: scale ?? 1,
      decay: decayOf(w, inputs.v, round),
      a: (b, t, _h, kh) => times(row(kk, b, t, kh), -1, round),
      b: (b, t, _h, kh) => products(row(kk, b, t, kh), row(a, b, t, kh), round),
    },
    round,
  );
}
