import { attention } from './attention.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/**
 * Every token is routed to a few of E heads, which share keys and values: o_t = sum_e weights_t[e] Attn(x_t wq[e], k, v) wo[e] over its
 * heads (Mixture of attention heads, arXiv 2210.05144). Instead of x and wq all queries may be given; without wo heads are added as they are.
 */
export function mixtureOfHeads(
  inputs: {
    q?: NdArray;
    x?: NdArray;
    wq?: NdArray;
    wo?: NdArray;
    k: NdArray;
    v: NdArray;
    weights: NdArray;
    indices?: NdArray;
  },
  options: { causal?: boolean; scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const { x, wq, wo, k, v, weights, indices } = inputs;
  const [batches = 0, t = 0, slots = 0] = weights.shape;
  const [, tk = 0, d = 0] = k.shape;
  const dv = v.shape[2]!;
  const experts = wq?.shape[0] ?? inputs.q!.shape[2]!;
  const q = inputs.q ?? zeros([batches, t, experts, d]);
  const width = x?.shape[2] ?? 0;
  if (x && wq) {
    for (let b = 0; b < batches; b++) {
      for (let i = 0; i < t; i++) {
        for (let e = 0; e < experts; e++) {
          for (let c = 0; c < d; c++) {
            let sum = 0;
            for (let m = 0; m < width; m++) sum = round(sum + round(at(x, b, i, m) * at(wq, e, m, c)));
            (q.data as Float64Array)[offset(q.shape, b, i, e, c)] = sum;
          }
        }
      }
    }
  }
  const settings = { causal: options.causal ?? false, ...(options.scale !== undefined && { scale: options.scale }) };
  const heads = attention(
    { q, k: { shape: [batches, tk, 1, d], data: k.data }, v: { shape: [batches, tk, 1, dv], data: v.data } },
    settings,
    round,
  ).o;
  const out = wo?.shape[2] ?? dv;
  const o = zeros([batches, t, out]);
  for (let b = 0; b < batches; b++) {
    for (let i = 0; i < t; i++) {
      for (let slot = 0; slot < slots; slot++) {
        const e = indices ? at(indices, b, i, slot) : slot;
        const weight = at(weights, b, i, slot);
        if (weight === 0) continue;
        for (let c = 0; c < out; c++) {
          let y = wo ? 0 : at(heads, b, i, e, c);
          for (let m = 0; m < dv && wo; m++) y = round(y + round(at(heads, b, i, e, m) * at(wo, e, m, c)));
          const to = offset(o.shape, b, i, c);
          o.data[to] = round(o.data[to]! + round(weight * y));
        }
      }
    }
  }
  return { o };
}
