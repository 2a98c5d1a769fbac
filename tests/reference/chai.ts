import { attention } from './attention.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

interface Keys {
  q: NdArray;
  k: NdArray;
}

/** Softmax rows of one head's first tokens, one after another; 0 where a key is not seen. */
function rowsOf({ q, k }: Keys, b: number, h: number, tokens: number, causal: boolean, scale: number): number[] {
  const [, , heads = 0, d = 0] = q.shape;
  const own = Math.floor(h / (heads / k.shape[2]!));
  return Array.from({ length: tokens }, (_, i) => {
    const logits = Array.from({ length: tokens }, (_, j) => {
      if (causal && j > i) return Number.NEGATIVE_INFINITY;
      let sum = 0;
      for (let c = 0; c < d; c++) sum += at(q, b, i, h, c) * at(k, b, j, own, c);
      return sum * scale;
    });
    const most = Math.max(...logits);
    const weights = logits.map((x) => Math.exp(x - most));
    const sum = weights.reduce((x, y) => x + y, 0);
    return weights.map((w) => w / sum);
  }).flat();
}

function distance(a: number[], b: number[]): number {
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, n) => sum + value * y[n]!, 0);
  return 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/**
 * The first head of each head's cluster [B, H], by average linkage: the mean distance of all pairs of heads of two clusters. `gap` is the
 * least difference by which two clusters were joined before another pair.
 */
export function chaiClusters(
  inputs: Keys,
  options: { clusters: number; tokens?: number; causal?: boolean; scale?: number },
): { clusters: Result; gap: number } {
  const { q } = inputs;
  const [batches = 0, length = 0, heads = 0, d = 0] = q.shape;
  const { clusters, tokens = 5, causal = false, scale = d ** -0.5 } = options;
  const labels = zeros([batches, heads]);
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    const rows = Array.from({ length: heads }, (_, h) => rowsOf(inputs, b, h, Math.min(tokens, length), causal, scale));
    let groups = rows.map((_, h) => [h]);
    while (groups.length > clusters) {
      const pairs = groups.flatMap((x, i) =>
        groups.slice(i + 1).map((y) => {
          const all = x.flatMap((m) => y.map((n) => distance(rows[m]!, rows[n]!)));
          return { x, y, mean: all.reduce((sum, value) => sum + value, 0) / all.length };
        }),
      );
      const [best, next] = pairs.sort((p, r) => p.mean - r.mean);
      if (next) gap = Math.min(gap, next.mean - best!.mean);
      const joined = [...best!.x, ...best!.y].sort((m, n) => m - n);
      groups = groups.filter((group) => group !== best!.x && group !== best!.y);
      groups = [...groups, joined].sort((m, n) => m[0]! - n[0]!);
    }
    for (const group of groups) for (const h of group) labels.data[offset(labels.shape, b, h)] = group[0]!;
  }
  return { clusters: labels, gap };
}

/** x [B, T, H, D] with head of[b][h] of each batch entry in place of head h. */
function withHeads(x: NdArray, of: (b: number, h: number) => number, heads: number): NdArray {
  const [batches = 0, length = 0, , d = 0] = x.shape;
  const out = zeros([batches, length, heads, d]);
  for (let n = 0; n < out.data.length; n++) {
    const [c, h, t, b] = [
      n % d,
      Math.floor(n / d) % heads,
      Math.floor(n / d / heads) % length,
      Math.floor(n / d / heads / length),
    ];
    out.data[n] = at(x, b, t, of(b, h), c);
  }
  return out;
}

/** CHAI: plain attention on copies of the queries and keys of each cluster's first head. */
export function chai(
  { q, k, v, clusters }: { q: NdArray; k: NdArray; v: NdArray; clusters: NdArray },
  options: { causal?: boolean; scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const heads = q.shape[2]!;
  const group = heads / k.shape[2]!;
  const first = (b: number, h: number) => at(clusters, clusters.shape[0] === 1 ? 0 : b, h);
  const spread = {
    q: withHeads(q, first, heads),
    k: withHeads(k, (b, h) => Math.floor(first(b, h) / group), heads),
    v: withHeads(v, (_, h) => Math.floor(h / group), heads),
  };
  return { o: attention(spread, options, round).o as Result };
}
