import { softmax } from './attention.ts';
import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  logAddExp,
  readOut,
  row,
  scaleColumns,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of both; the shapes are those of the ops. */
export interface SlotInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  /** [B,T,H,M]: what a token writes to each slot. */
  s: NdArray;
  initialHk?: NdArray;
  initialHv?: NdArray;
  cuSeqlens?: NdArray;
}

/** The slots [N,HV,...] of key heads, one for each value head. */
function slots(
  { q, k, v, initialHk, initialHv, cuSeqlens }: SlotInputs,
  m: number,
  scale: number | undefined,
  gate: (n: number, b: number, t: number, kh: number, h: number) => { decay: number[]; write: number[] },
  round: Round,
): { o: Result; hk: Result; hv: Result } {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const count = sequences(v, cuSeqlens).length;
  const o = zeros(v.shape);
  const hk = carried(initialHk, [count, keyHeads, dk, m]);
  const hv = carried(initialHv, [count, heads, m, dv]);
  const factor = round(scale ?? dk ** -0.5);
  let p: number[] = [];
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    const { decay, write } = gate(n, b, t, kh, h);
    if (h % (heads / keyHeads) === 0) {
      scaleColumns(hk, n, kh, decay, round);
      addOuter(hk, n, kh, row(k, b, t, kh), write, round);
      ({ p } = softmax(readOut(times(row(q, b, t, kh), factor, round), hk, n, kh, round), round));
    }
    scaleRows(hv, n, h, decay, round);
    addOuter(hv, n, h, write, row(v, b, t, h), round);
    setRow(o, readOut(p, hv, n, h, round), b, t, h);
  });
  return { o, hk, hv };
}

/**
 * hk_t = hk_{t-1} diag(e^{g_t}) + k_t^T s_t [N,H,K,M], hv_t = diag(e^{g_t}) hv_{t-1} + s_t^T v_t [N,HV,M,V],
 * o_t = softmax(scale q_t hk_t) hv_t (Gated Slot Attention, arXiv 2409.07146).
 */
export function gsa(
  { g, ...inputs }: SlotInputs & { g: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; hk: Result; hv: Result } {
  const gate = (_n: number, b: number, t: number, kh: number) => ({
    decay: row(g, b, t, kh).map((x) => expNatural(x, round)),
    write: row(inputs.s, b, t, kh),
  });
  return slots(inputs, inputs.s.shape[3]!, scale, gate, round);
}

/**
 * gsa with g_t = z_{t-1} - z_t and writes e^{s_t - z_t}, z the running logcumsumexp of s: z [N,H,M], -Infinity before the first token
 * (ABC, arXiv 2110.02488; fla, naive_recurrent_abc).
 */
export function abc(
  { initialZ, ...inputs }: SlotInputs & { initialZ?: NdArray },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; hk: Result; hv: Result; z: Result } {
  const [, , keyHeads = 0, m = 0] = inputs.s.shape;
  const group = inputs.v.shape[2]! / keyHeads;
  const z = carried(initialZ, [sequences(inputs.v, inputs.cuSeqlens).length, keyHeads, m], Number.NEGATIVE_INFINITY);
  let gates = { decay: [] as number[], write: [] as number[] };
  const gate = (n: number, b: number, t: number, kh: number, h: number) => {
    if (h % group === 0) gates = normalised(z, row(inputs.s, b, t, kh), n, kh, round);
    return gates;
  };
  const { o, hk, hv } = slots(inputs, m, scale, gate, round);
  return { o, hk, hv, z };
}

/** e^{z_{t-1} - z_t} and e^{s_t - z_t} with z_t = ln(e^{z_{t-1}} + e^{s_t}), which replaces z at (n, h). */
export function normalised(
  z: Result,
  s: readonly number[],
  n: number,
  h: number,
  round: Round,
): { decay: number[]; write: number[] } {
  const before = row(z, n, h);
  const now = before.map((x, c) => logAddExp(x, s[c]!, round));
  setRow(z, now, n, h);
  // Nothing was ever written to a slot at -Infinity.
  const share = (x: number, c: number) =>
    now[c] === Number.NEGATIVE_INFINITY ? 0 : expNatural(round(x - now[c]!), round);
  return { decay: before.map(share), write: s.map(share) };
}
