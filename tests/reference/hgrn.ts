import { at, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';

/** Inputs of the element-wise gated recurrence; the shapes are those of the op. */
export interface HgrnInputs {
  x: NdArray;
  g: NdArray;
  initialState?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** h_t = e^{g_t} h_{t-1} + x_t (HGRN, arXiv 2311.04823). */
export function hgrn(
  { x, g, initialState, cuSeqlens }: HgrnInputs,
  _options: object = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const channels = x.shape[2]!;
  const spans = spansOf(x, cuSeqlens);
  const o = zeros(x.shape);
  const finalState = zeros([spans.length, channels]);
  for (const [n, { batch, begin, end }] of spans.entries())
    for (let d = 0; d < channels; d++) {
      let h = initialState ? at(initialState, n, d) : 0;
      for (let t = begin; t < end; t++) {
        const decay = exp(round(at(g, batch, t, d) * logitFactor(round)), round);
        h = round(round(decay * h) + at(x, batch, t, d));
        o.data[offset(o.shape, batch, t, d)] = h;
      }
      finalState.data[offset(finalState.shape, n, d)] = h;
    }
  return { o, finalState };
}
