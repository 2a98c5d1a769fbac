import { type DeltaOutputs, deltaRecurrence, masterRecurrence, products, type RowOf, rowsOf } from './delta.ts';
import { queryAndKey } from './delta-rule.ts';
import { expNatural, type Recurrence, row, times } from './linear.ts';
import { at, float64, type NdArray, type Round } from './ndarray.ts';

interface KdaOperands extends Recurrence {
  /** [B,T,H,K] or [B,T,HV,K] */
  g: NdArray;
  /** [B,T,HV] */
  beta: NdArray;
}

interface KdaOptions {
  scale?: number;
  useQkL2norm?: boolean;
  snapshotEvery?: number;
}

/** e^g by rows. */
export function decayOf(g: NdArray, v: NdArray, round: Round): RowOf {
  const rows = rowsOf(g, v.shape[2]!);
  return (b, t, h, kh) => rows(b, t, h, kh).map((x) => expNatural(x, round));
}

/** S*_t = diag(e^{g_t}) S_{t-1}, S_t = S*_t + beta_t k_t^T (v_t - k_t S*_t), o_t = scale q_t S_t (Kimi Linear, arXiv 2510.26692). */
export function kda(
  { g, beta, ...inputs }: KdaOperands,
  { scale, useQkL2norm = false, snapshotEvery }: KdaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const rows = queryAndKey(inputs, useQkL2norm, round);
  const decay = decayOf(g, inputs.v, round);
  return deltaRecurrence(inputs, { ...rows, scale, snapshotEvery, decay, beta: (b, t, h) => at(beta, b, t, h) }, round);
}

/** As the master recurrence: a = e^g k, b = -beta k, value beta v. */
export function kdaDplr(
  { g, beta, ...inputs }: KdaOperands,
  { scale, useQkL2norm = false, snapshotEvery }: KdaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const decay = decayOf(g, inputs.v, round);
  const { query, key } = queryAndKey(inputs, useQkL2norm, round);
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  return masterRecurrence(
    inputs,
    {
      scale,
      snapshotEvery,
      query,
      key,
      decay,
      a: (b, t, h, kh) => products(key(b, t, h, kh), decay(b, t, h, kh), round),
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(inputs.v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
}
