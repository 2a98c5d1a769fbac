import { at, dot, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

export interface EvictInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** How tokens are let go. */
export interface Eviction {
  budget: number;
  recent: number;
  addSums: boolean;
  perHead: boolean;
  scale?: number | undefined;
}

/** Weights of one query with the tokens `keys`, in their order. */
function weightsOf(
  { q, k }: EvictInputs,
  scale: number,
  b: number,
  t: number,
  h: number,
  keys: number[],
  round: Round,
) {
  const [, , heads = 0, d = 0] = q.shape;
  const own = Math.floor(h / (heads / k.shape[2]!));
  const logits = keys.map((j) => {
    const [from, to] = [offset(q.shape, b, t, h, 0), offset(k.shape, b, j, own, 0)];
    return round(round(dot(q.data, from, 1, k.data, to, 1, d, round) * scale) * logitFactor(round));
  });
  const most = Math.max(...logits);
  const weights = logits.map((x) => exp(round(x - most), round));
  const sum = weights.reduce((total, w) => round(total + w), 0);
  return weights.map((w) => round(w / sum));
}

/** Softmax attention of one query to the tokens `keys`, into o; returns the weights. */
export function attendKeys(
  inputs: EvictInputs,
  scale: number,
  [b, t, h]: readonly [number, number, number],
  keys: number[],
  o: Result,
  row: number,
  round: Round,
): number[] {
  const { q, k, v } = inputs;
  const weights = weightsOf(inputs, scale, b, t, h, keys, round);
  const own = Math.floor(h / (q.shape[2]! / k.shape[2]!));
  for (let c = 0; c < v.shape[3]!; c++) {
    const sum = keys.reduce((total, j, n) => round(total + round(weights[n]! * at(v, b, j, own, c))), 0);
    o.data[offset(o.shape, b, row, h, c)] = sum;
  }
  return weights;
}

/**
 * Causal attention over a bounded cache, token by token: append, attend, add up the weights of each token held, and let go of the one with
 * the least. `gap` is the least distance, in share of a sum, by which a token was let go before another.
 */
export function evicting(
  inputs: EvictInputs,
  { budget, recent, addSums, perHead, scale = inputs.q.shape[3]! ** -0.5 }: Eviction,
  round: Round = float64,
): { o: Result; kept: Result; gap: number } {
  const { q, k, v } = inputs;
  const [batches = 0, length = 0, heads = 0] = q.shape;
  const kvHeads = k.shape[2]!;
  const units = perHead ? kvHeads : 1;
  const o = zeros([batches, length, heads, v.shape[3]!]);
  const left = Math.min(length, budget);
  const kept = zeros([batches, units, left]);
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let unit = 0; unit < units; unit++) {
      const own = Array.from({ length: heads / units }, (_, i) => unit * (heads / units) + i);
      let held: { token: number; sum: number }[] = [];
      for (let t = 0; t < length; t++) {
        held.push({ token: t, sum: 0 });
        if (!addSums) for (const entry of held) entry.sum = 0;
        for (const h of own) {
          const tokens = held.map(({ token }) => token);
          attendKeys(inputs, scale, [b, t, h], tokens, o, t, round).forEach((w, n) => {
            held[n]!.sum = round(held[n]!.sum + w);
          });
        }
        if (held.length <= budget) continue;
        const old = held.slice(0, held.length - recent);
        const ranked = [...old].sort((x, y) => x.sum - y.sum || x.token - y.token);
        held = held.filter((entry) => entry !== ranked[0]);
        if (ranked[1]) gap = Math.min(gap, (ranked[1].sum - ranked[0]!.sum) / ranked[1].sum);
      }
      held.forEach(({ token }, n) => {
        kept.data[offset(kept.shape, b, unit, n)] = token;
      });
    }
  }
  return { o, kept, gap };
}

/** H2O. */
export function h2o(
  inputs: EvictInputs,
  { heavy, recent, scale }: { heavy: number; recent: number; scale?: number },
  round: Round = float64,
): { o: Result; kept: Result } {
  const eviction = { budget: heavy + recent, recent, addSums: true, perHead: true, scale };
  const { o, kept } = evicting(inputs, eviction, round);
  return { o, kept };
}
