import { type DeltaOutputs, deltaRecurrence, masterRecurrence, products, type RowOf } from './delta.ts';
import { decayOf } from './kda.ts';
import { type Recurrence, row, times } from './linear.ts';
import { float64, type NdArray, type Round } from './ndarray.ts';

interface Gdn2Operands extends Recurrence {
  /** [B,T,H,K] or [B,T,HV,K] */
  g: NdArray;
  /** [B,T,H,K] */
  b: NdArray;
  /** [B,T,HV,V] */
  w: NdArray;
}

/**
 * S*_t = diag(e^{g_t}) S_{t-1}, S_t = S*_t + k_t^T (w_t v_t - (b_t k_t) S*_t), o_t = scale q_t S_t: b erases, w writes (fla,
 * naive_recurrent_gdn2).
 */
export function gdn2(
  { g, b: erase, w, ...inputs }: Gdn2Operands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  return deltaRecurrence(
    inputs,
    {
      scale,
      decay: decayOf(g, inputs.v, round),
      reader: (b, t, _h, kh) => products(row(erase, b, t, kh), row(inputs.k, b, t, kh), round),
      value: (b, t, h) => products(row(w, b, t, h), row(inputs.v, b, t, h), round),
    },
    round,
  );
}

/** As the master recurrence: a = e^g b k, b = -k, value w v. */
export function gdn2Dplr(
  { g, b: erase, w, ...inputs }: Gdn2Operands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  const decay = decayOf(g, inputs.v, round);
  const reader: RowOf = (b, t, _h, kh) => products(row(erase, b, t, kh), row(inputs.k, b, t, kh), round);
  return masterRecurrence(
    inputs,
    {
      scale,
      decay,
      a: (b, t, h, kh) => products(reader(b, t, h, kh), decay(b, t, h, kh), round),
      b: (b, t, _h, kh) => times(row(inputs.k, b, t, kh), -1, round),
      value: (b, t, h) => products(row(w, b, t, h), row(inputs.v, b, t, h), round),
    },
    round,
  );
}
