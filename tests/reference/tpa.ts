import { type AttentionOptions, attention, forEachRow, softmax } from './attention.ts';
import { at, dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** a* [B,T,R,H], b* [B,T,R,D]; q [B,T,H,D] in place of its factors. */
export interface TpaInputs {
  q?: NdArray;
  aQ?: NdArray;
  bQ?: NdArray;
  aK: NdArray;
  bK: NdArray;
  aV: NdArray;
  bV: NdArray;
  kvLens?: NdArray;
}

/** Rows [B,T,H,D] = 1/R sum_r a_r[h] b_r. */
export function outerSum(a: NdArray, b: NdArray, round: Round): Result {
  const [batches = 0, length = 0, rank = 0, heads = 0] = a.shape;
  const d = b.shape[3]!;
  const out = zeros([batches, length, heads, d]);
  for (let n = 0; n < batches; n++)
    for (let t = 0; t < length; t++)
      for (let h = 0; h < heads; h++)
        for (let c = 0; c < d; c++) {
          let sum = 0;
          for (let r = 0; r < rank; r++) sum = round(sum + round(at(a, n, t, r, h) * at(b, n, t, r, c)));
          out.data[offset(out.shape, n, t, h, c)] = round(sum / rank);
        }
  return out;
}

/** Tensor product attention with queries, keys and values multiplied out (arXiv 2501.06425). */
export function tpa(
  { q, aQ, bQ, aK, bK, aV, bV, kvLens }: TpaInputs,
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const queries = q ?? outerSum(aQ!, bQ!, round);
  const made = { q: queries, k: outerSum(aK, bK, round), v: outerSum(aV, bV, round) };
  return attention({ ...made, ...(kvLens && { kvLens }) }, options, round);
}

/** The contracted form: scores from products of row factors, values never made. */
export function tpaContracted(
  { q, aQ, bQ, aK, bK, aV, bV, kvLens }: TpaInputs,
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const [batches = 0, tk = 0, rankK = 0, heads = 0] = aK.shape;
  const rows = bQ ?? q!;
  const [, tq = 0, rankQ = 0, d = 0] = rows.shape;
  const [, , rankV = 0, dv = 0] = bV.shape;
  const { scale = d ** -0.5, softcap, ...masking } = options;
  const o = zeros([batches, tq, heads, dv]);
  const lse = zeros([batches, tq, heads]);
  // which keys a row sees is that of attention over as many keys, whatever they are
  const shape = { q: zeros([batches, tq, heads, 1]), k: zeros([batches, tk, 1, 1]), v: zeros([batches, tk, 1, 1]) };
  forEachRow({ ...shape, ...(kvLens && { kvLens }) }, masking, float64, ({ b, i, h }, keys) => {
    const logits = keys.map((j) => {
      let sum = 0;
      for (let rk = 0; rk < rankK; rk++) {
        const product = (r: number) =>
          dot(rows.data, offset(rows.shape, b, i, r, 0), 1, bK.data, offset(bK.shape, b, j, rk, 0), 1, d, round);
        let inner = aQ ? 0 : product(h);
        for (let r = 0; aQ && r < rankQ; r++) inner = round(inner + round(at(aQ, b, i, r, h) * product(r)));
        sum = round(sum + round(at(aK, b, j, rk, h) * inner));
      }
      const s = round(round(scale) * round(sum / (aQ ? rankQ * rankK : rankK)));
      return softcap ? round(softcap * round(Math.tanh(round(s / softcap)))) : s;
    });
    const weights = softmax(logits, round);
    lse.data[offset(lse.shape, b, i, h)] = weights.lse;
    keys.forEach((j, n) => {
      for (let r = 0; r < rankV; r++) {
        const weight = round(round(weights.p[n]! * at(aV, b, j, r, h)) / rankV);
        for (let c = 0; c < dv; c++) {
          const to = offset(o.shape, b, i, h, c);
          o.data[to] = round(o.data[to]! + round(weight * at(bV, b, j, r, c)));
        }
      }
    });
  });
  return { o, lse };
}
