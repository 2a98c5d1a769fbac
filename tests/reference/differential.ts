import { type AttentionOptions, attention } from './attention.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** softmax(q1 k1) v - lambda softmax(q2 k2) v, lambda [H], before any norm: o [B,Tq,H,Dv] (Differential Transformer, arXiv 2410.05258). */
export function differentialAttention(
  { q1, k1, q2, k2, v, lambda }: { q1: NdArray; k1: NdArray; q2: NdArray; k2: NdArray; v: NdArray; lambda: NdArray },
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result } {
  const first = attention({ q: q1, k: k1, v }, options, round).o;
  const second = attention({ q: q2, k: k2, v }, options, round).o;
  const [, , heads = 0, dv = 0] = first.shape;
  const o = zeros(first.shape);
  for (let n = 0; n < o.data.length; n++) {
    const head = Math.floor(n / dv) % heads;
    o.data[n] = round(first.data[n]! - round(at(lambda, head) * second.data[n]!));
  }
  return { o };
}
