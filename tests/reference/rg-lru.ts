import { at, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';
import { softplus } from './softplus.ts';

/** Inputs of the real-gated linear recurrent unit; the shapes are those of the op. */
export interface RgLruInputs {
  x: NdArray;
  inputGate: NdArray;
  recurrentGate: NdArray;
  recurrentParam: NdArray;
  initialState?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/**
 * a_t = e^{-c softplus(param) r_t}, h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t x_t; where a sequence is reset its first token enters
 * without the root, into an empty state (Griffin, arXiv 2402.19427).
 */
export function rgLru(
  { x, inputGate, recurrentGate, recurrentParam, initialState, cuSeqlens }: RgLruInputs,
  { c = 8, reset = initialState === undefined }: { c?: number; reset?: boolean } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const channels = x.shape[2]!;
  const spans = spansOf(x, cuSeqlens);
  const base = logitFactor(round);
  const o = zeros(x.shape);
  const finalState = zeros([spans.length, channels]);
  for (const [n, { batch, begin, end }] of spans.entries())
    for (let d = 0; d < channels; d++) {
      const rate = round(round(-c * softplus(at(recurrentParam, d), round)) * base);
      let h = initialState ? at(initialState, n, d) : 0;
      for (let t = begin; t < end; t++) {
        const exponent = round(rate * at(recurrentGate, batch, t, d));
        const entering = round(at(inputGate, batch, t, d) * at(x, batch, t, d));
        if (reset && t === begin) h = entering;
        else {
          const root = round(Math.sqrt(round(1 - exp(round(2 * exponent), round))));
          h = round(round(exp(exponent, round) * h) + round(root * entering));
        }
        o.data[offset(o.shape, batch, t, d)] = h;
      }
      finalState.data[offset(finalState.shape, n, d)] = h;
    }
  return { o, finalState };
}
