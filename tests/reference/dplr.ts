import { type DeltaOutputs, masterRecurrence } from './delta.ts';
import { decayOf } from './kda.ts';
import { type Recurrence, row } from './linear.ts';
import { float64, type NdArray, type Round } from './ndarray.ts';

interface DplrOperands extends Recurrence {
  /** [B,T,H,K] each. */
  a: NdArray;
  b: NdArray;
  gk: NdArray;
}

/** S_t = diag(e^{gk_t}) S_{t-1} + b_t^T (a_t S_{t-1}) + k_t^T v_t, o_t = scale q_t S_t (fla, dplr_recurrence). */
export function dplr(
  { a, b: along, gk, ...inputs }: DplrOperands,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  return masterRecurrence(
    inputs,
    {
      scale,
      decay: decayOf(gk, inputs.v, round),
      a: (b, t, _h, kh) => row(a, b, t, kh),
      b: (b, t, _h, kh) => row(along, b, t, kh),
    },
    round,
  );
}

/** The same without decay (fla, iplr_recurrence). */
export function iplr(
  { a, b: along, ...inputs }: Omit<DplrOperands, 'gk'>,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): DeltaOutputs {
  return masterRecurrence(
    inputs,
    { scale, a: (b, t, _h, kh) => row(a, b, t, kh), b: (b, t, _h, kh) => row(along, b, t, kh) },
    round,
  );
}
