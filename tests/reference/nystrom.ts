import { attention, softmax } from './attention.ts';
import { dot, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

type Matrix = number[][];

/** Where each of `count` segments of T tokens begins, and T: equal lengths, the last ones a token longer if they must be. */
function segmentStarts(T: number, count: number): number[] {
  const length = Math.floor(T / count);
  const shorter = count - (T % count);
  return Array.from({ length: count + 1 }, (_, i) => i * length + Math.max(0, i - shorter));
}

/** Means [B,count,H,D] of segments of x [B,T,H,D]. */
function means(x: NdArray, count: number, round: Round): Result {
  const [B = 0, T = 0, H = 0, D = 0] = x.shape;
  const starts = segmentStarts(T, count);
  const out = zeros([B, count, H, D]);
  for (let n = 0; n < out.data.length; n++) {
    const [d, h, i, b] = [
      n % D,
      Math.floor(n / D) % H,
      Math.floor(n / (D * H)) % count,
      Math.floor(n / (D * H * count)),
    ];
    let sum = 0;
    for (let t = starts[i]!; t < starts[i + 1]!; t++) sum = round(sum + x.data[offset(x.shape, b, t, h, d)]!);
    out.data[n] = round(sum / (starts[i + 1]! - starts[i]!));
  }
  return out;
}

function product(a: Matrix, b: Matrix, round: Round): Matrix {
  const columns = b[0]?.length ?? 0;
  return a.map((row) =>
    Array.from({ length: columns }, (_, j) => row.reduce((sum, x, i) => round(sum + round(x * b[i]![j]!)), 0)),
  );
}

/** factor I - a */
function identityMinus(a: Matrix, factor: number, round: Round): Matrix {
  return a.map((row, i) => row.map((x, j) => round((i === j ? factor : 0) - x)));
}

function transposed(a: Matrix): Matrix {
  return a.map((row, i) => row.map((_, j) => a[j]![i]!));
}

function largestColumn(a: Matrix, round: Round): number {
  return Math.max(...transposed(a).map((column) => column.reduce((sum, x) => round(sum + x), 0)));
}

/** The iteration for the pseudo-inverse of a, from its transpose over `most`. */
export function pseudoInverse(a: Matrix, most: number, iterations: number, round: Round): Matrix {
  let v = transposed(a).map((row) => row.map((x) => round(x / most)));
  for (let n = 0; n < iterations; n++) {
    const kv = product(a, v, round);
    const inner = product(kv, identityMinus(kv, 7, round), round);
    const outer = product(kv, identityMinus(inner, 15, round), round);
    const quarter = v.map((row) => row.map((x) => round(x / 4)));
    v = product(quarter, identityMinus(outer, 13, round), round);
  }
  return v;
}

/**
 * softmax(scale q kL^T) pinv(softmax(scale qL kL^T)) softmax(scale qL k^T) v + conv(v), qL and kL the means of segments; exact attention
 * with as many landmarks as tokens: o [B,T,Hq,Dv] (Nyströmformer; one divisor for the whole batch as in transformers, or for each head).
 */
export function nystromAttention(
  { q, k, v, convWeight }: { q: NdArray; k: NdArray; v: NdArray; convWeight?: NdArray },
  options: { numLandmarks?: number; iterations?: number; normalizer?: 'batch' | 'head'; scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [B = 0, T = 0, H = 0, D = 0] = q.shape;
  const [, , Hkv = 0, Dv = 0] = v.shape;
  const { iterations = 6, normalizer = 'batch', scale = D ** -0.5 } = options;
  const count = options.numLandmarks ?? Math.min(64, T);
  const o = zeros([B, T, H, Dv]);
  const keyHead = (h: number) => Math.floor(h / (H / Hkv));
  if (count >= T) {
    o.data.set(attention({ q, k, v }, { scale }, round).o.data);
  } else {
    const [qL, kL] = [means(q, count, round), means(k, count, round)];
    const scores = (x: NdArray, y: NdArray, b: number, h: number): Matrix =>
      Array.from({ length: x.shape[1]! }, (_, i) => {
        const from = offset(x.shape, b, i, h, 0);
        const logits = Array.from({ length: y.shape[1]! }, (_, j) =>
          round(round(scale) * dot(x.data, from, 1, y.data, offset(y.shape, b, j, keyHead(h), 0), 1, D, round)),
        );
        return softmax(logits, round).p;
      });
    const heads = Array.from({ length: B * H }, (_, n) => ({ b: Math.floor(n / H), h: n % H }));
    const between = heads.map(({ b, h }) => scores(qL, kL, b, h));
    const divisors = between.map((a) => largestColumn(a, round));
    for (const [n, { b, h }] of heads.entries()) {
      const most = normalizer === 'batch' ? Math.max(...divisors) : divisors[n]!;
      const values = Array.from({ length: T }, (_, t) =>
        Array.from({ length: Dv }, (_, d) => v.data[offset(v.shape, b, t, keyHead(h), d)]!),
      );
      const sums = product(scores(qL, k, b, h), values, round);
      const inverse = pseudoInverse(between[n]!, most, iterations, round);
      const rows = product(scores(q, kL, b, h), product(inverse, sums, round), round);
      for (const [t, row] of rows.entries()) o.data.set(row, offset(o.shape, b, t, h, 0));
    }
  }
  if (!convWeight) return { o };
  const taps = convWeight.shape[1]!;
  for (let n = 0; n < o.data.length; n++) {
    const [d, h, t, b] = [n % Dv, Math.floor(n / Dv) % H, Math.floor(n / (Dv * H)) % T, Math.floor(n / (Dv * H * T))];
    let sum = 0;
    for (let w = 0; w < taps; w++) {
      const s = t + w - (taps - 1) / 2;
      if (s < 0 || s >= T) continue;
      const weight = convWeight.data[keyHead(h) * taps + w]!;
      sum = round(sum + round(weight * v.data[offset(v.shape, b, s, keyHead(h), d)]!));
    }
    o.data[n] = round(o.data[n]! + sum);
  }
  return { o };
}
