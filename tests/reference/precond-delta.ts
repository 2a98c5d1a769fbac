import { type DeltaOutputs, deltaRecurrence, l2normalized, masterRecurrence, products, type RowOf } from './delta.ts';
import { decayOf } from './kda.ts';
import { carried, expNatural, logNatural, type Recurrence, row, sequences, setRow, times } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

interface PrecondOperands extends Recurrence {
  /** [B,T,HV], or [B,T,H,K] or [B,T,HV,K] in the vector form. */
  g: NdArray;
  /** [B,T,HV] */
  beta: NdArray;
  /** [B,T,H] each. */
  gAtk: NdArray;
  betaAtk: NdArray;
  /** [H] */
  logAtkScale?: NdArray;
  /** [N,H,K] */
  initialAState?: NdArray;
}

interface PrecondOptions {
  scale?: number;
  x?: number;
  eps?: number;
  logAtkScale?: number;
  useQkL2norm?: boolean;
}

/** Queries, keys, keys times M, and the last A. */
function preconditioned(
  { q, k, v, gAtk, betaAtk, logAtkScale, initialAState, cuSeqlens }: PrecondOperands,
  { x = 1.5, eps = 1e-6, logAtkScale: center = -0.2, useQkL2norm = false }: PrecondOptions,
  round: Round,
): { query: RowOf; reader: RowOf; key: RowOf; finalAState: Result } {
  const [, , heads = 0, dk = 0] = k.shape;
  const spans = sequences(v, cuSeqlens);
  const unit = (r: number[]) => (useQkL2norm ? l2normalized(r, round) : r);
  const finalAState = carried(initialAState, [spans.length, heads, dk]);
  const keys = zeros(k.shape);
  const written = zeros(k.shape);
  const logX = round(Math.log(x));
  for (const { n, b, from, to } of spans)
    for (let t = from; t < to; t++)
      for (let h = 0; h < heads; h++) {
        const key = unit(row(k, b, t, h));
        const decay = expNatural(at(gAtk, b, t, h), round);
        const weight = at(betaAtk, b, t, h);
        const c = logAtkScale ? at(logAtkScale, h) : center;
        const sum = row(finalAState, n, h).map((a, i) =>
          round(round(decay * a) + round(weight * round(key[i]! * key[i]!))),
        );
        const factors = sum.map((a) => {
          const r = round(logNatural(round(a + eps), round) - c);
          return expNatural(round(-logX * round(r / round(1 + Math.abs(r)))), round);
        });
        setRow(finalAState, sum, n, h);
        setRow(keys, key, b, t, h);
        setRow(written, products(key, factors, round), b, t, h);
      }
  return {
    query: (b, t, _h, kh) => unit(row(q, b, t, kh)),
    reader: (b, t, _h, kh) => row(keys, b, t, kh),
    key: (b, t, _h, kh) => row(written, b, t, kh),
    finalAState,
  };
}

/** e^g of a scalar or of vectors. */
function decayRows({ g, k, v }: PrecondOperands, round: Round): RowOf {
  if (g.shape.length === 4) return decayOf(g, v, round);
  return (b, t, h) => new Array<number>(k.shape[3]!).fill(expNatural(at(g, b, t, h), round));
}

/**
 * A_t = e^{gAtk_t} A_{t-1} + betaAtk_t k_t^2, r = ln(A_t + eps) - c, M_t = e^{-ln x r / (1 + |r|)}; S*_t = diag(e^{g_t}) S_{t-1},
 * S_t = S*_t + beta_t (M_t k_t)^T (v_t - k_t S*_t), o_t = scale q_t S_t (arXiv 2604.21100; fla, precond_gated_delta_rule, precond_kda).
 */
export function precondDelta(
  inputs: PrecondOperands,
  options: PrecondOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const { finalAState, ...rows } = preconditioned(inputs, options, round);
  const beta = (b: number, t: number, h: number) => at(inputs.beta, b, t, h);
  const decay = decayRows(inputs, round);
  return { ...deltaRecurrence(inputs, { ...rows, scale: options.scale, decay, beta }, round), finalAState };
}

/** As the master recurrence: a = e^g k, b = -beta M k, key M k, value beta v. */
export function precondDeltaDplr(
  inputs: PrecondOperands,
  options: PrecondOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const { finalAState, query, key, reader } = preconditioned(inputs, options, round);
  const strength = (b: number, t: number, h: number) => at(inputs.beta, b, t, h);
  const decay = decayRows(inputs, round);
  const outputs = masterRecurrence(
    inputs,
    {
      scale: options.scale,
      query,
      key,
      decay,
      a: (b, t, h, kh) => products(reader(b, t, h, kh), decay(b, t, h, kh), round),
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(inputs.v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
  return { ...outputs, finalAState };
}
