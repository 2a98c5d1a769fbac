import { at, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';
import { softplus } from './softplus.ts';

/** Inputs of the selective scan; the shapes are those of the op. */
export interface SelectiveScanInputs {
  u: NdArray;
  delta: NdArray;
  A: NdArray;
  B: NdArray;
  C: NdArray;
  D?: NdArray | undefined;
  z?: NdArray | undefined;
  deltaBias?: NdArray | undefined;
  initialState?: NdArray | undefined;
  cuSeqlens?: NdArray | undefined;
}

/** h_t = e^{dt A} h_{t-1} + dt u_t B_t, o_t = (C_t h_t + D u_t) silu(z_t) (Mamba, arXiv 2312.00752). */
export function selectiveScan(
  { u, delta, A, B, C, D, z, deltaBias, initialState, cuSeqlens }: SelectiveScanInputs,
  { deltaSoftplus = false }: { deltaSoftplus?: boolean } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [channels = 0, size = 0] = A.shape;
  const spans = spansOf(u, cuSeqlens);
  const base = logitFactor(round);
  const o = zeros(u.shape);
  const finalState = zeros([spans.length, channels, size]);
  for (const [sequence, { batch, begin, end }] of spans.entries())
    for (let d = 0; d < channels; d++) {
      const h = Array.from({ length: size }, (_, n) => (initialState ? at(initialState, sequence, d, n) : 0));
      for (let t = begin; t < end; t++) {
        let dt = at(delta, batch, t, d);
        if (deltaBias) dt = round(dt + at(deltaBias, d));
        if (deltaSoftplus) dt = softplus(dt, round);
        const entering = round(dt * at(u, batch, t, d));
        let y = 0;
        for (let n = 0; n < size; n++) {
          const decay = exp(round(round(dt * at(A, d, n)) * base), round);
          h[n] = round(round(decay * h[n]!) + round(entering * at(B, batch, t, n)));
          y = round(y + round(h[n]! * at(C, batch, t, n)));
        }
        if (D) y = round(y + round(at(D, d) * at(u, batch, t, d)));
        if (z) {
          const gate = at(z, batch, t, d);
          y = round(y * round(gate / round(1 + exp(round(-gate * base), round))));
        }
        o.data[offset(o.shape, batch, t, d)] = y;
      }
      h.forEach((value, n) => {
        finalState.data[offset(finalState.shape, sequence, d, n)] = value;
      });
    }
  return { o, finalState };
}
