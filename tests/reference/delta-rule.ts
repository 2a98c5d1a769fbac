import { type DeltaOutputs, deltaRecurrence, l2normalized, masterRecurrence, type RowOf } from './delta.ts';
import { expNatural, type Recurrence, row, times } from './linear.ts';
import { at, float64, type NdArray, type Round } from './ndarray.ts';

/** Operands of both rules. */
interface DeltaOperands extends Recurrence {
  /** [B,T,HV] */
  beta: NdArray;
}

interface DeltaOptions {
  scale?: number;
  useQkL2norm?: boolean;
  snapshotEvery?: number;
}

/** Queries and keys, of length one where asked for. */
export function queryAndKey({ q, k }: Recurrence, normalize: boolean, round: Round): { query: RowOf; key: RowOf } {
  const rows =
    (x: NdArray): RowOf =>
    (b, t, _h, kh) =>
      normalize ? l2normalized(row(x, b, t, kh), round) : row(x, b, t, kh);
  return { query: rows(q), key: rows(k) };
}

/** S_t = S_{t-1} + beta_t k_t^T (v_t - k_t S_{t-1}), o_t = scale q_t S_t (DeltaNet, arXiv 2406.06484). */
export function deltaRule(
  { beta, ...inputs }: DeltaOperands,
  { scale, useQkL2norm = false, snapshotEvery }: DeltaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const rows = queryAndKey(inputs, useQkL2norm, round);
  return deltaRecurrence(inputs, { ...rows, scale, snapshotEvery, beta: (b, t, h) => at(beta, b, t, h) }, round);
}

/** As the master recurrence: a = k, b = -beta k, value beta v. */
export function deltaRuleDplr(
  { beta, ...inputs }: DeltaOperands,
  { scale, useQkL2norm = false, snapshotEvery }: DeltaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const { query, key } = queryAndKey(inputs, useQkL2norm, round);
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  return masterRecurrence(
    inputs,
    {
      scale,
      snapshotEvery,
      query,
      key,
      a: key,
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(inputs.v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
}

/** S*_t = e^{g_t} S_{t-1}, S_t = S*_t + beta_t k_t^T (v_t - k_t S*_t), o_t = scale q_t S_t with g [B,T,HV] (arXiv 2412.06464). */
export function gatedDeltaRule(
  { g, beta, ...inputs }: DeltaOperands & { g: NdArray },
  { scale, useQkL2norm = false, snapshotEvery }: DeltaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const dk = inputs.q.shape[3]!;
  const decay: RowOf = (b, t, h) => new Array<number>(dk).fill(expNatural(at(g, b, t, h), round));
  const rows = queryAndKey(inputs, useQkL2norm, round);
  return deltaRecurrence(inputs, { ...rows, scale, snapshotEvery, decay, beta: (b, t, h) => at(beta, b, t, h) }, round);
}

/** As the master recurrence: a = e^g k, b = -beta k, value beta v. */
export function gatedDeltaRuleDplr(
  { g, beta, ...inputs }: DeltaOperands & { g: NdArray },
  { scale, useQkL2norm = false, snapshotEvery }: DeltaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const dk = inputs.q.shape[3]!;
  const decayed = (b: number, t: number, h: number) => expNatural(at(g, b, t, h), round);
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  const { query, key } = queryAndKey(inputs, useQkL2norm, round);
  return masterRecurrence(
    inputs,
    {
      scale,
      snapshotEvery,
      query,
      key,
      decay: (b, t, h) => new Array<number>(dk).fill(decayed(b, t, h)),
      a: (b, t, h, kh) => times(key(b, t, h, kh), decayed(b, t, h), round),
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(inputs.v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
}
