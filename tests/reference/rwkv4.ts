import { at, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';

/** Inputs of RWKV-4's time mixing; the shapes are those of the op. */
export interface Rwkv4Inputs {
  k: NdArray;
  v: NdArray;
  w: NdArray;
  u: NdArray;
  num?: NdArray | undefined;
  den?: NdArray | undefined;
  max?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** The weighted average with both sums relative to a running maximum (RWKV, arXiv 2305.13048). */
export function rwkv4(
  { k, v, w, u, num, den, max, cuSeqlens }: Rwkv4Inputs,
  _options: object = {},
  round: Round = float64,
): { o: Result; num: Result; den: Result; max: Result } {
  const channels = k.shape[2]!;
  const spans = spansOf(k, cuSeqlens);
  const base = logitFactor(round);
  const o = zeros(k.shape);
  const states = {
    num: zeros([spans.length, channels]),
    den: zeros([spans.length, channels]),
    max: zeros([spans.length, channels]),
  };
  const weight = (x: number) => exp(round(x * base), round);
  for (const [n, { batch, begin, end }] of spans.entries())
    for (let d = 0; d < channels; d++) {
      let a = num ? at(num, n, d) : 0;
      let b = den ? at(den, n, d) : 0;
      let m = max ? at(max, n, d) : -1e38;
      const decay = -round(Math.exp(at(w, d)));
      for (let t = begin; t < end; t++) {
        const key = at(k, batch, t, d);
        const value = at(v, batch, t, d);
        const raised = round(key + at(u, d));
        let most = Math.max(m, raised);
        let old = weight(round(m - most));
        let fresh = weight(round(raised - most));
        const above = round(round(old * a) + round(fresh * value));
        o.data[offset(o.shape, batch, t, d)] = round(above / round(round(old * b) + fresh));
        const faded = round(m + decay);
        most = Math.max(faded, key);
        old = weight(round(faded - most));
        fresh = weight(round(key - most));
        a = round(round(old * a) + round(fresh * value));
        b = round(round(old * b) + fresh);
        m = most;
      }
      for (const [name, value] of Object.entries({ num: a, den: b, max: m }))
        states[name as keyof typeof states].data[offset(states.num.shape, n, d)] = value;
    }
  return { o, ...states };
}
