import { type DeltaOutputs, deltaRecurrence, l2normalized, masterRecurrence, type RowOf } from './delta.ts';
import { expNatural, type Recurrence, row, times } from './linear.ts';
import { at, float64, type NdArray, type Round } from './ndarray.ts';

interface CombaOperands extends Recurrence {
  /** [B,T,H,K] */
  p: NdArray;
  /** [B,T,HV] */
  g: NdArray;
  /** [B,T,HV] */
  beta: NdArray;
  /** [H] */
  D?: NdArray;
}

interface CombaOptions {
  scale?: number;
  useQkL2norm?: boolean;
}

/** q - D p, k and p; of length one where asked for. */
function rowsOfComba({ q, k, p, D }: CombaOperands, normalize: boolean, round: Round): Record<'q' | 'k' | 'p', RowOf> {
  const unit = (x: number[]) => (normalize ? l2normalized(x, round) : x);
  return {
    q: (b, t, _h, kh) => {
      const against = row(p, b, t, kh);
      return unit(row(q, b, t, kh).map((x, c) => (D ? round(x - round(at(D, kh) * against[c]!)) : x)));
    },
    k: (b, t, _h, kh) => unit(row(k, b, t, kh)),
    p: (b, t, _h, kh) => unit(row(p, b, t, kh)),
  };
}

/** S_t = e^{g_t} S_{t-1} + beta_t k_t^T (v_t - p_t S_{t-1}), o_t = scale (q_t - D p_t) S_t (Comba, arXiv 2506.02475). */
export function comba(
  inputs: CombaOperands,
  { scale, useQkL2norm = false }: CombaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const { g, beta } = inputs;
  const dk = inputs.q.shape[3]!;
  const { q: query, k: key, p: reader } = rowsOfComba(inputs, useQkL2norm, round);
  const decay: RowOf = (b, t, h) => new Array<number>(dk).fill(expNatural(at(g, b, t, h), round));
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  return deltaRecurrence(inputs, { scale, decay, query, key, reader, readsOld: true, beta: strength }, round);
}

/** As the master recurrence: a = p, b = -beta k, value beta v. */
export function combaDplr(
  inputs: CombaOperands,
  { scale, useQkL2norm = false }: CombaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const { g, beta } = inputs;
  const dk = inputs.q.shape[3]!;
  const { q: query, k: key, p: a } = rowsOfComba(inputs, useQkL2norm, round);
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  return masterRecurrence(
    inputs,
    {
      scale,
      decay: (b, t, h) => new Array<number>(dk).fill(expNatural(at(g, b, t, h), round)),
      query,
      key,
      a,
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(inputs.v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
}
