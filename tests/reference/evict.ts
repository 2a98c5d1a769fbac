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

/** By how much a is above b, in share of a; weights that float32 flushes to zero are as good as equal. */
function distance(a: number, b: number): number {
  return (a - b) / Math.max(a, 2 ** -80);
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
        if (ranked[1]) gap = Math.min(gap, distance(ranked[1].sum, ranked[0]!.sum));
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

/** TOVA. */
export function tova(
  inputs: EvictInputs,
  { budget, perHead = false, scale }: { budget: number; perHead?: boolean; scale?: number },
  round: Round = float64,
): { o: Result; kept: Result } {
  const { o, kept } = evicting(inputs, { budget, recent: 0, addSums: false, perHead, scale }, round);
  return { o, kept };
}

/** How a prompt's keys are voted on. */
export interface Voting {
  window: number;
  capacity: number;
  kernelSize?: number;
  pooling?: 'avg' | 'max';
  scale?: number | undefined;
}

/** Votes for the keys before the window, of one key/value head: weights of the window's queries, pooled with the neighbours'. */
function votesFor(inputs: EvictInputs, voting: Required<Voting>, b: number, own: number, round: Round): number[] {
  const { q, k } = inputs;
  const [, length = 0, heads = 0] = q.shape;
  const group = heads / k.shape[2]!;
  const prefix = length - voting.window;
  const sums = new Array<number>(prefix).fill(0);
  for (let h = own * group; h < (own + 1) * group; h++) {
    for (let t = prefix; t < length; t++) {
      const seen = Array.from({ length: t + 1 }, (_, j) => j);
      const weights = weightsOf(inputs, voting.scale, b, t, h, seen, round);
      for (let j = 0; j < prefix; j++) sums[j] = round(sums[j]! + weights[j]!);
    }
  }
  const radius = (voting.kernelSize - 1) / 2;
  return sums.map((_, j) => {
    const near = sums.slice(Math.max(0, j - radius), j + radius + 1);
    if (voting.pooling === 'max') return Math.max(...near);
    return round(near.reduce((total, x) => round(total + x), 0) / voting.kernelSize);
  });
}

/** SnapKV: the last query over what stays. `gap` is the least distance, in share of a vote, by which a key stayed before another. */
export function votedKeys(
  inputs: EvictInputs,
  { window, capacity, kernelSize = 5, pooling = 'avg', scale = inputs.q.shape[3]! ** -0.5 }: Voting,
  round: Round = float64,
): { o: Result; kept: Result; gap: number } {
  const { q, k, v } = inputs;
  const [batches = 0, length = 0, heads = 0] = q.shape;
  const kvHeads = k.shape[2]!;
  const last = Math.min(window, length);
  const o = zeros([batches, Math.min(1, length), heads, v.shape[3]!]);
  const kept = zeros([batches, kvHeads, Math.min(length, capacity)]);
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let own = 0; own < kvHeads && length > 0; own++) {
      const voting = { window: last, capacity, kernelSize, pooling, scale };
      const votes = votesFor(inputs, voting, b, own, round);
      const ranked = votes.map((_, j) => j).sort((x, y) => votes[y]! - votes[x]! || x - y);
      const chosen = ranked.slice(0, capacity - last).sort((x, y) => x - y);
      const [least, next] = [ranked[capacity - last - 1], ranked[capacity - last]];
      if (least !== undefined && next !== undefined) gap = Math.min(gap, distance(votes[least]!, votes[next]!));
      const keys = [...chosen, ...Array.from({ length: last }, (_, j) => length - last + j)];
      for (const [n, j] of keys.entries()) kept.data[offset(kept.shape, b, own, n)] = j;
      const group = heads / kvHeads;
      for (let h = own * group; h < (own + 1) * group; h++) {
        attendKeys(inputs, scale, [b, length - 1, h], keys, o, 0, round);
      }
    }
  }
  return { o, kept, gap };
}

/** SnapKV, without the gap. */
export function snapkv(inputs: EvictInputs, voting: Voting, round: Round = float64): { o: Result; kept: Result } {
  const { o, kept } = votedKeys(inputs, voting, round);
  return { o, kept };
}
