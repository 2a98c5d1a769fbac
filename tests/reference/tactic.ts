import { float64, type NdArray } from './ndarray.ts';

/** The logits of one query's tokens in the order of their clusters, and what is asked of them. */
export interface TailFit {
  logits: readonly number[];
  p: number;
  exact: number;
  samples: number;
}

/** How many tokens hold a share p by the weights of the first `exact` and a curve a / x + b through `samples` others. */
export function prefixOf({ logits, p, exact: most, samples: count }: TailFit): number {
  const n = logits.length;
  if (p >= 1 || n === 0) return n;
  const exact = Math.min(most, n);
  const rest = n - exact;
  const samples = Math.min(count, rest);
  const places = Array.from({ length: samples }, (_, m) => exact + Math.floor(((2 * m + 1) * rest) / (2 * samples)));
  const known = [...logits.slice(0, exact), ...places.map((place) => logits[place]!)];
  const top = Math.max(...known);
  const weight = (place: number) => Math.exp(logits[place]! - top);
  // normal equations of y = a u + b, u = 1 / x
  let [u, uu, y, uy] = [0, 0, 0, 0];
  for (const place of places) {
    const x = 1 / (place + 1);
    u += x;
    uu += x * x;
    y += weight(place);
    uy += x * weight(place);
  }
  const spread = samples * uu - u * u;
  const a = spread > 1e-12 * samples * uu ? (samples * uy - u * y) / spread : 0;
  const b = samples > 0 ? (y - a * u) / samples : 0;
  const estimate = (place: number) => (place < exact ? weight(place) : Math.max(0, a / (place + 1) + b));
  let total = 0;
  for (let place = 0; place < n; place++) total += estimate(place);
  let [sum, taken] = [0, 0];
  while (taken < n && (sum < Math.fround(p) * total || taken === 0)) sum += estimate(taken++);
  return taken;
}

/** Tokens below `seen` by falling scores of their clusters, those of one cluster in their order. */
export function byCluster(scores: readonly number[], labels: ArrayLike<number>, seen: number): number[] {
  const clusters = scores.map((_, c) => c).sort((x, y) => scores[y]! - scores[x]! || x - y);
  return clusters.flatMap((c) => Array.from({ length: seen }, (_, j) => j).filter((j) => labels[j] === c));
}

/** q k of one query and a token, scaled. */
export function logitOf(q: NdArray, row: number, k: NdArray, key: number, scale: number, round = float64): number {
  const D = q.shape[3]!;
  let sum = 0;
  for (let c = 0; c < D; c++) sum = round(sum + round(q.data[row * D + c]! * k.data[key * D + c]!));
  return round(scale * sum);
}
