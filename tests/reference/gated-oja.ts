import { type DeltaOutputs, l2normalized, masterRecurrence, products } from './delta.ts';
import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  inner,
  type Recurrence,
  readOut,
  row,
  scaleColumns,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

interface OjaOperands extends Recurrence {
  /** [B,T,HV] */
  beta: NdArray;
  /** [B,T,HV,V] */
  gv?: NdArray;
}

interface OjaOptions {
  scale?: number;
  useQkL2norm?: boolean;
}

/** S_{n,h} v: a sum over the columns for each row. */
function readColumns(states: Result, n: number, h: number, v: readonly number[], round: Round): number[] {
  const rows = states.shape[2]!;
  return Array.from({ length: rows }, (_, c) => inner(row(states, n, h, c), v, round));
}

/**
 * S*_t = S_{t-1} diag(e^{gv_t}), k'_t = beta_t (k_t - S*_t v_t), S_t = S*_t + k'_t^T v_t, o_t = scale q_t S_t (fla, gated_oja_rule).
 */
export function gatedOja(
  { q, k, v, beta, gv, initialState, cuSeqlens }: OjaOperands,
  { scale, useQkL2norm = false }: OjaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const [, , keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const unit = (x: number[]) => (useQkL2norm ? l2normalized(x, round) : x);
  const o = zeros(v.shape);
  const finalState = carried(initialState, [sequences(v, cuSeqlens).length, heads, dk, dv]);
  forEachToken(v, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    if (gv) {
      const factors = row(gv, b, t, h).map((g) => expNatural(g, round));
      scaleColumns(finalState, n, h, factors, round);
    }
    const value = row(v, b, t, h);
    const read = readColumns(finalState, n, h, value, round);
    const strength = at(beta, b, t, h);
    const key = unit(row(k, b, t, kh)).map((x, c) => round(strength * round(x - read[c]!)));
    addOuter(finalState, n, h, key, value, round);
    const query = times(unit(row(q, b, t, kh)), round(scale ?? dk ** -0.5), round);
    setRow(o, readOut(query, finalState, n, h, round), b, t, h);
  });
  return { o, finalState };
}

/** A state [N,H,R,C] as [N,H,C,R]. */
function transposed(x: NdArray): Result {
  const [n = 0, h = 0, rows = 0, columns = 0] = x.shape;
  const y = zeros([n, h, columns, rows]);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < h; j++)
      for (let c = 0; c < columns; c++)
        for (let r = 0; r < rows; r++) y.data[offset(y.shape, i, j, c, r)] = at(x, i, j, r, c);
  return y;
}

/** As the master recurrence of the transposed state: a = e^gv v, b = -beta v, key v, value beta k; o_t = scale S_t^T q_t. */
export function gatedOjaDplr(
  { q, k, v, beta, gv, initialState, cuSeqlens }: OjaOperands,
  { scale, useQkL2norm = false }: OjaOptions = {},
  round: Round = float64,
): DeltaOutputs {
  const [batches = 0, length = 0, keyHeads = 0, dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const unit = (x: number[]) => (useQkL2norm ? l2normalized(x, round) : x);
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  const decay = (b: number, t: number, h: number) =>
    gv ? row(gv, b, t, h).map((g) => expNatural(g, round)) : new Array<number>(dv).fill(1);
  const size = heads / keyHeads;
  const keys = zeros([batches, length, heads, dk]);
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++) {
        setRow(keys, times(unit(row(k, b, t, Math.floor(h / size))), strength(b, t, h), round), b, t, h);
      }
  // every column of the state's transpose is read: as many queries as it has rows
  const o = zeros(v.shape);
  let finalState = zeros([0]);
  for (let column = 0; column < Math.max(1, dv); column++) {
    const one = Array.from({ length: dv }, (_, c) => (c === column ? 1 : 0));
    const got = masterRecurrence(
      { q: v, k: v, v: keys, initialState: initialState && transposed(initialState), cuSeqlens },
      {
        scale: 1,
        query: () => one,
        decay,
        a: (b, t, h) => products(row(v, b, t, h), decay(b, t, h), round),
        b: (b, t, h) => times(row(v, b, t, h), -strength(b, t, h), round),
      },
      round,
    );
    for (let b = 0; b < batches; b++)
      for (let t = 0; t < length; t++)
        for (let h = 0; h < heads && dv > 0; h++) {
          const query = times(unit(row(q, b, t, Math.floor(h / size))), round(scale ?? dk ** -0.5), round);
          o.data[offset(o.shape, b, t, h, column)] = inner(query, row(got.o, b, t, h), round);
        }
    finalState = transposed(got.finalState);
  }
  return { o, finalState };
}
