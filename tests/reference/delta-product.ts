import { type DeltaOutputs, masterRecurrence } from './delta.ts';
import { queryAndKey } from './delta-rule.ts';
import {
  addOuter,
  carried,
  expNatural,
  forEachToken,
  type Recurrence,
  readOut,
  row,
  scaleRows,
  sequences,
  setRow,
  times,
} from './linear.ts';
import { at, float64, type NdArray, type Round, zeros } from './ndarray.ts';

interface DeltaProductOperands extends Recurrence {
  /** [B,T n,HV] */
  beta: NdArray;
  /** [B,T,HV] */
  g?: NdArray;
}

interface DeltaProductOptions {
  numHouseholder: number;
  scale?: number;
  useQkL2norm?: boolean;
}

/**
 * n steps of the delta rule a token, whose keys, values and strengths are rows n t to n t + n - 1; the state decays by e^{g_t} before the
 * first of them and is read after the last (DeltaProduct, arXiv 2502.10297).
 */
export function gatedDeltaProduct(
  { q, k, v, beta, g, initialState, cuSeqlens }: DeltaProductOperands,
  { numHouseholder: steps, scale, useQkL2norm = false }: DeltaProductOptions,
  round: Round = float64,
): DeltaOutputs {
  const [batches = 0, length = 0, keyHeads = 0, dk = 0] = q.shape;
  const { query, key: keyOf } = queryAndKey({ q, k, v }, useQkL2norm, round);
  const [, , heads = 0, dv = 0] = v.shape;
  const o = zeros([batches, length, heads, dv]);
  const finalState = carried(initialState, [sequences(o, cuSeqlens).length, heads, dk, dv]);
  forEachToken(o, keyHeads, cuSeqlens, ({ n, b, t, h, kh }) => {
    if (g) scaleRows(finalState, n, h, new Array<number>(dk).fill(expNatural(at(g, b, t, h), round)), round);
    for (let i = t * steps; i < (t + 1) * steps; i++) {
      const key = keyOf(b, i, h, kh);
      const read = readOut(key, finalState, n, h, round);
      const strength = at(beta, b, i, h);
      const written = row(v, b, i, h).map((x, d) => round(strength * round(x - read[d]!)));
      addOuter(finalState, n, h, key, written, round);
    }
    setRow(o, readOut(times(query(b, t, h, kh), round(scale ?? dk ** -0.5), round), finalState, n, h, round), b, t, h);
  });
  return { o, finalState };
}

/** As the master recurrence of n T tokens, every n-th of them read. */
export function gatedDeltaProductDplr(
  { q, k, v, beta, g, initialState, cuSeqlens }: DeltaProductOperands,
  { numHouseholder: steps, scale, useQkL2norm = false }: DeltaProductOptions,
  round: Round = float64,
): DeltaOutputs {
  const [batches = 0, length = 0, , dk = 0] = q.shape;
  const [, , heads = 0, dv = 0] = v.shape;
  const strength = (b: number, t: number, h: number) => at(beta, b, t, h);
  const decayed = (b: number, t: number, h: number) =>
    g && t % steps === 0 ? expNatural(at(g, b, t / steps, h), round) : 1;
  const { query, key } = queryAndKey({ q, k, v }, useQkL2norm, round);
  const { o: all, finalState } = masterRecurrence(
    {
      q: k,
      k,
      v,
      initialState,
      cuSeqlens: cuSeqlens && { shape: cuSeqlens.shape, data: Array.from(cuSeqlens.data, (x) => x * steps) },
    },
    {
      scale,
      query: (b, t, h, kh) => query(b, Math.floor(t / steps), h, kh),
      decay: (b, t, h) => new Array<number>(dk).fill(decayed(b, t, h)),
      a: (b, t, h, kh) => times(key(b, t, h, kh), decayed(b, t, h), round),
      b: (b, t, h, kh) => times(key(b, t, h, kh), -strength(b, t, h), round),
      value: (b, t, h) => times(row(v, b, t, h), strength(b, t, h), round),
    },
    round,
  );
  const o = zeros([batches, length, heads, dv]);
  for (let b = 0; b < batches; b++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++) setRow(o, row(all, b, t * steps + steps - 1, h), b, t, h);
  return { o, finalState };
}
