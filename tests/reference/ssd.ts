import { expNatural, silu, softplus } from './linear.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of ssd; the shapes are those of the op. */
export interface SsdInputs {
  /** [B,T,H,P] */
  x: NdArray;
  /** [B,T,H] */
  dt: NdArray;
  /** [H] */
  A: NdArray;
  /** [B,T,G,N] */
  B: NdArray;
  /** [B,T,G,N] */
  C: NdArray;
  D?: NdArray;
  z?: NdArray;
  dtBias?: NdArray;
  /** [B,H,P,N] */
  initialState?: NdArray;
}

/**
 * S_t = e^{dt A} S_{t-1} + dt x_t^T B_t [P,N], o_t = (S_t C_t + D x_t) silu(z_t), head h in group floor(h / (H/G)); dt + dtBias, with
 * dtSoftplus its softplus (Mamba-2, arXiv 2405.21060).
 */
export function ssd(
  { x, dt, A, B, C, D, z, dtBias, initialState }: SsdInputs,
  { dtSoftplus = false }: { dtSoftplus?: boolean } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [batches = 0, length = 0, heads = 0, size = 0] = x.shape;
  const [, , groups = 0, dn = 0] = B.shape;
  const o = zeros(x.shape);
  const finalState = zeros([batches, heads, size, dn]);
  if (initialState) finalState.data.set(Array.from(initialState.data));
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / (heads / groups));
        let step = at(dt, b, t, h);
        if (dtBias) step = round(step + at(dtBias, h));
        if (dtSoftplus) step = softplus(step, round);
        const decay = expNatural(round(step * at(A, h)), round);
        for (let p = 0; p < size; p++) {
          const input = at(x, b, t, h, p);
          let sum = 0;
          for (let c = 0; c < dn; c++) {
            const to = offset(finalState.shape, b, h, p, c);
            const state = round(
              round(finalState.data[to]! * decay) + round(round(step * input) * at(B, b, t, group, c)),
            );
            finalState.data[to] = state;
            sum = round(sum + round(state * at(C, b, t, group, c)));
          }
          if (D) sum = round(sum + round(at(D, h) * input));
          if (z) sum = round(sum * silu(at(z, b, t, h, p), round));
          o.data[offset(o.shape, b, t, h, p)] = sum;
        }
      }
  return { o, finalState };
}
