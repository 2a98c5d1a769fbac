import { carried, expNatural, inner, row, setRow, silu, softplus } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

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
  const finalState = carried(initialState, [batches, heads, size, dn]);
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / (heads / groups));
        let step = at(dt, b, t, h);
        if (dtBias) step = round(step + at(dtBias, h));
        if (dtSoftplus) step = softplus(step, round);
        const decay = expNatural(round(step * at(A, h)), round);
        const [input, key, query] = [row(x, b, t, h), row(B, b, t, group), row(C, b, t, group)];
        const gate = z && row(z, b, t, h);
        const output = input.map((value, p) => {
          const state = row(finalState, b, h, p).map((old, c) =>
            round(round(old * decay) + round(round(step * value) * key[c]!)),
          );
          setRow(finalState, state, b, h, p);
          let sum = inner(state, query, round);
          if (D) sum = round(sum + round(at(D, h) * value));
          return gate ? round(sum * silu(gate[p]!, round)) : sum;
        });
        setRow(o, output, b, t, h);
      }
  return { o, finalState };
}
