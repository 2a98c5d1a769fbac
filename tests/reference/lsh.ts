import { softmax } from './attention.ts';
import { dot, exp, float64, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Options of the op that change its numbers. */
export interface LshOptions {
  chunkLength?: number;
  chunksBefore?: number;
  chunksAfter?: number;
  causal?: boolean;
  scale?: number;
  selfScore?: number;
}

/** Products of each token with the directions of one round and with their opposites: [2 * directions] for (b, t, h, round). */
export function directionScores(
  qk: NdArray,
  rotations: NdArray,
  b: number,
  t: number,
  h: number,
  round: number,
): number[] {
  const [heads, D = 0, rounds = 0, directions = 0] = rotations.shape;
  const products = Array.from({ length: directions }, (_, i) =>
    dot(
      qk.data,
      offset(qk.shape, b, t, h, 0),
      1,
      rotations.data,
      offset(rotations.shape, heads === 1 ? 0 : h, 0, round, i),
      rounds * directions,
      D,
      float64,
    ),
  );
  return [...products, ...products.map((x) => -x)];
}

/** i32 [B,H,rounds,T]: the number of the largest of those products, the first of equals. */
export function hashBuckets(qk: NdArray, rotations: NdArray): Result {
  const [B = 0, T = 0, H = 0] = qk.shape;
  const rounds = rotations.shape[2]!;
  const out = zeros([B, H, rounds, T]);
  for (let n = 0; n < out.data.length; n++) {
    const [t, r, h, b] = [
      n % T,
      Math.floor(n / T) % rounds,
      Math.floor(n / (T * rounds)) % H,
      Math.floor(n / (T * rounds * H)),
    ];
    const scores = directionScores(qk, rotations, b, t, h, r);
    out.data[n] = scores.indexOf(Math.max(...scores));
  }
  return out;
}

/**
 * LSH attention by its definition, from the buckets given or those of rotations: o [B,T,H,Dv]. Keys qk / |qk|; in every round tokens are
 * sorted by bucket and cut into chunks, all rounds' chunks form a ring; what comes later is hidden, the token itself has selfScore
 * (Reformer, as in transformers; a round's last chunk may be shorter).
 */
export function lshAttention(
  { qk, v, rotations, buckets }: { qk: NdArray; v: NdArray; rotations?: NdArray; buckets?: NdArray },
  options: LshOptions = {},
  round: Round = float64,
): { o: Result } {
  const { chunkLength = 64, chunksBefore = 1, chunksAfter = 0, causal = false, scale = 1, selfScore = -1e5 } = options;
  const [B = 0, T = 0, H = 0, D = 0] = qk.shape;
  const Dv = v.shape[3]!;
  const labels = buckets ?? hashBuckets(qk, rotations!);
  const rounds = labels.shape[2]!;
  const o = zeros([B, T, H, Dv]);
  const factor = logitFactor(round);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const keys = Array.from({ length: T }, (_, t) => {
        const from = offset(qk.shape, b, t, h, 0);
        const length = round(Math.sqrt(dot(qk.data, from, 1, qk.data, from, 1, D, round)));
        return Array.from({ length: D }, (_, d) => (length === 0 ? 0 : round(qk.data[from + d]! / length)));
      });
      const chunks: number[][] = [];
      const chunkOf: number[][] = [];
      for (let r = 0; r < rounds; r++) {
        const bucket = (t: number) => labels.data[offset(labels.shape, b, h, r, t)]!;
        const order = Array.from({ length: T }, (_, t) => t).sort((s, t) => bucket(s) - bucket(t) || s - t);
        const places: number[] = [];
        for (let at = 0; at < T; at += chunkLength) {
          for (const t of order.slice(at, at + chunkLength)) places[t] = chunks.length;
          chunks.push(order.slice(at, at + chunkLength));
        }
        chunkOf.push(places);
      }
      for (let t = 0; t < T; t++) {
        const results = chunkOf.map((places) => {
          const seen: number[] = [];
          for (let c = places[t]! - chunksBefore; c <= places[t]! + chunksAfter; c++) {
            seen.push(...chunks[((c % chunks.length) + chunks.length) % chunks.length]!);
          }
          const visible = seen.filter((s) => !causal || s <= t);
          const from = offset(qk.shape, b, t, h, 0);
          const logits = visible.map((s) =>
            s === t ? selfScore : round(round(scale) * dot(qk.data, from, 1, keys[s]!, 0, 1, D, round)),
          );
          return { visible, ...softmax(logits, round) };
        });
        const most = Math.max(...results.map(({ lse }) => lse));
        const weights = results.map(({ lse }) => exp(round(round(lse - most) * factor), round));
        const total = weights.reduce((sum, w) => round(sum + w), 0);
        const to = offset(o.shape, b, t, h, 0);
        for (const [r, { visible, p }] of results.entries()) {
          const share = round(weights[r]! / total);
          for (let d = 0; d < Dv; d++) {
            let sum = 0;
            for (const [n, s] of visible.entries()) {
              sum = round(sum + round(p[n]! * v.data[offset(v.shape, b, s, h, d)]!));
            }
            o.data[to + d] = round(o.data[to + d]! + round(share * sum));
          }
        }
      }
    }
  }
  return { o };
}
