import { expNatural, type Recurrence, recurrence } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round } from './ndarray.ts';

/** S_t = gamma_h S_{t-1} + k_t^T v_t, o_t = scale q_t S_t with gamma_h = 1 - 2^(-5-h) (RetNet, arXiv 2307.08621). */
export function retention(
  inputs: Recurrence,
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const dk = inputs.q.shape[3]!;
  // In base 2 as an exponential of its logarithm, as kernels with gates keep it.
  const gamma = (h: number) =>
    round.base2 ? expNatural(round(Math.log1p(-(2 ** (-5 - h)))), round) : round(1 - 2 ** (-5 - h));
  return recurrence(inputs, { scale, rows: (_b, _t, h) => new Array<number>(dk).fill(gamma(h)) }, round);
}

/**
 * S_t = e^{-slope_h} S_{t-1} + k_t^T v_t, o_t = scale q_t S_t with slope_h = 8/H (1 - layerIdx/numLayers) h, or given slopes [HV]
 * (Lightning Attention, arXiv 2401.04658; fla, lightning_attn).
 */
export function lightningAttn(
  { slopes, ...inputs }: Recurrence & { slopes?: NdArray },
  { layerIdx = 0, numLayers = 1, scale }: { layerIdx?: number; numLayers?: number; scale?: number } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const dk = inputs.q.shape[3]!;
  const heads = inputs.v.shape[2]!;
  const slope = (h: number) =>
    slopes ? at(slopes, h) : round(round(round(8 / heads) * round(1 - layerIdx / numLayers)) * h);
  return recurrence(
    inputs,
    { scale, rows: (_b, _t, h) => new Array<number>(dk).fill(expNatural(-slope(h), round)) },
    round,
  );
}
