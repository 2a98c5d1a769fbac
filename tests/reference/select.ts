import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Row i sees columns [0, floor((i * mul + add) / div)). */
export interface Visible {
  mul: number;
  add: number;
  div: number;
}

/** How several numbers become one. */
export type Reduction = 'mean' | 'sum' | 'max' | 'min';

/** Columns that row i sees. */
export function seen(visible: Visible | undefined, i: number, columns: number): number {
  if (!visible) return columns;
  return Math.min(columns, Math.max(0, Math.floor((i * visible.mul + visible.add) / visible.div)));
}

/** Numbers as one, first to last; largest and least pass NaN over. */
function reduced(values: readonly number[], kind: Reduction, round: Round): number {
  const numbers = values.filter((x) => !Number.isNaN(x));
  if (kind === 'max') return Math.max(...numbers);
  if (kind === 'min') return Math.min(...numbers);
  const sum = values.reduce((total, x) => round(total + x), 0);
  if (kind === 'sum') return sum;
  return values.length === 0 ? 0 : round(sum / values.length);
}

/** [B, ceil(T / block), H, D] of x [B, T, H, D]. */
export function poolBlocks(x: NdArray, block: number, kind: Reduction, round: Round = float64): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const count = Math.ceil(T / block);
  const o = zeros([B, count, H, D]);
  for (let at = 0; at < o.data.length; ++at) {
    const [d, h, c, b] = [
      at % D,
      Math.floor(at / D) % H,
      Math.floor(at / D / H) % count,
      Math.floor(at / D / H / count),
    ];
    const values: number[] = [];
    for (let t = c * block; t < Math.min(T, (c + 1) * block); ++t) values.push(x.data[((b * T + t) * H + h) * D + d]!);
    o.data[at] = reduced(values, kind, round);
  }
  return o;
}

/** [B, count, H, D] of x [B, T, H, D] by labels [B, L, T], and how many rows each label has: [B, H, count]. */
export function poolLabels(
  x: NdArray,
  labels: NdArray,
  count: number,
  kind: Reduction,
  round: Round = float64,
): { rows: Result; counts: Result } {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const L = labels.shape[1]!;
  const rows = zeros([B, count, H, D]);
  const counts = zeros([B, H, count]);
  for (let b = 0; b < B; ++b) {
    for (let h = 0; h < H; ++h) {
      const list = Math.floor((h * L) / H);
      for (let c = 0; c < count; ++c) {
        const tokens = Array.from({ length: T }, (_, t) => t).filter((t) => labels.data[(b * L + list) * T + t] === c);
        counts.data[(b * H + h) * count + c] = tokens.length;
        for (let d = 0; d < D; ++d) {
          const values = tokens.map((t) => x.data[((b * T + t) * H + h) * D + d]!);
          rows.data[((b * count + c) * H + h) * D + d] = tokens.length === 0 ? 0 : reduced(values, kind, round);
        }
      }
    }
  }
  return { rows, counts };
}

/** scale q k [B, Hq, N, M] of q [B, N, Hq, D] and k [B, M, Hkv, D]; with weights [B, N, Hq] the sum over heads of weight * max(0, score). */
export function scoreMap(
  { q, k, scale, weights }: { q: NdArray; k: NdArray; scale: number; weights?: NdArray | undefined },
  round: Round = float64,
): Result {
  const [B, N, Hq, D] = q.shape as [number, number, number, number];
  const [, M, Hkv] = k.shape as [number, number, number, number];
  const map = zeros([B, Hq, N, M]);
  for (let at = 0; at < map.data.length; ++at) {
    const [j, i, h, b] = [at % M, Math.floor(at / M) % N, Math.floor(at / M / N) % Hq, Math.floor(at / M / N / Hq)];
    const kv = Math.floor((h * Hkv) / Hq);
    let sum = 0;
    for (let d = 0; d < D; ++d) {
      const x = round(q.data[((b * N + i) * Hq + h) * D + d]! * round(scale));
      sum = round(sum + round(x * k.data[((b * M + j) * Hkv + kv) * D + d]!));
    }
    map.data[at] = sum;
  }
  if (!weights) return map;
  const sums = zeros([B, 1, N, M]);
  for (let b = 0; b < B; ++b) {
    for (let i = 0; i < N; ++i) {
      for (let j = 0; j < M; ++j) {
        let sum = 0;
        for (let h = 0; h < Hq; ++h) {
          const score = Math.max(0, map.data[((b * Hq + h) * N + i) * M + j]!);
          sum = round(sum + round(weights.data[(b * N + i) * Hq + h]! * score));
        }
        sums.data[(b * N + i) * M + j] = sum;
      }
    }
  }
  return sums;
}

/** Rows of a map [B, L, R, C] with what they see of it. */
function* rowsOf(map: NdArray, visible?: Visible): Generator<{ row: number; i: number; n: number; values: number[] }> {
  const [B, L, R, C] = map.shape as [number, number, number, number];
  for (let row = 0; row < B * L * R; ++row) {
    const i = row % R;
    const n = seen(visible, i, C);
    yield { row, i, n, values: Array.from({ length: n }, (_, j) => map.data[row * C + j]!) };
  }
}

/** Softmax of scale * map over what rows see, else 0. */
export function softmaxMap(map: NdArray, scale: number, visible?: Visible, round: Round = float64): Result {
  const C = map.shape[3]!;
  const o = zeros(map.shape);
  for (const { row, values } of rowsOf(map, visible)) {
    const scaled = values.map((x) => round(x * round(scale)));
    const most = Math.max(...scaled);
    if (most === Number.NEGATIVE_INFINITY) continue;
    const weights = scaled.map((x) => round(Math.exp(round(x - most))));
    const sum = weights.reduce((total, x) => round(total + x), 0);
    weights.forEach((x, j) => {
      o.data[row * C + j] = round(x / sum);
    });
  }
  return o;
}

/** [B, L / heads, ceil(R / rows), ceil(C / columns)] over what rows see. */
export function reduceMap(
  map: NdArray,
  { heads = 1, rows = 1, columns = 1 }: { heads?: number; rows?: number; columns?: number },
  kind: Reduction,
  visible?: Visible,
  round: Round = float64,
): Result {
  const [B, L, R, C] = map.shape as [number, number, number, number];
  const [outL, outR, outC] = [L / heads, Math.ceil(R / rows), Math.ceil(C / columns)];
  const o = zeros([B, outL, outR, outC]);
  for (let b = 0; b < B; ++b) {
    for (let l = 0; l < outL; ++l) {
      for (let r = 0; r < outR; ++r) {
        for (let c = 0; c < outC; ++c) {
          const values: number[] = [];
          for (let h = l * heads; h < (l + 1) * heads; ++h) {
            for (let i = r * rows; i < Math.min(R, (r + 1) * rows); ++i) {
              for (let j = c * columns; j < Math.min(seen(visible, i, C), (c + 1) * columns); ++j) {
                values.push(map.data[((b * L + h) * R + i) * C + j]!);
              }
            }
          }
          o.data[((b * outL + l) * outR + r) * outC + c] = reduced(values, kind, round);
        }
      }
    }
  }
  return o;
}

/** What all ways of choosing share. */
export interface Choice {
  visible?: Visible | undefined;
  first?: number | undefined;
  last?: number | undefined;
  forced?: 'counted' | 'added' | 'union' | undefined;
  scope?: 'row' | 'head' | undefined;
}

/** Chosen cells as ones. */
export type Ones = NdArray;

/** A cell of a map that may be chosen, in the order in which equal scores are taken. */
interface Cell {
  row: number;
  column: number;
  score: number;
}

/** Chosen cells [B, L, R, C] as ones: `rule` chooses from sorted cells, the highest first, NaN last, given the forced ones. */
function chosen(
  map: NdArray,
  { visible, first = 0, last = 0, forced = 'counted', scope = 'row' }: Choice,
  rule: (cells: readonly Cell[], forcedCells: readonly Cell[], row: number) => readonly Cell[],
): Result {
  const [B, L, R, C] = map.shape as [number, number, number, number];
  const o = zeros(map.shape);
  const all = [...rowsOf(map, visible)];
  const groups =
    scope === 'row' ? all.map((row) => [row]) : Array.from({ length: B * L }, (_, g) => all.slice(g * R, (g + 1) * R));
  for (const group of groups) {
    if (group.length === 0) continue;
    const forcedCells: Cell[] = [];
    const cells: Cell[] = [];
    for (const { row, n, values } of group) {
      values.forEach((score, column) => {
        const isForced = column < first || column >= n - last;
        if (isForced) forcedCells.push({ row, column, score });
        if (!isForced || forced === 'union') cells.push({ row, column, score });
      });
    }
    const rank = (x: number) => (Number.isNaN(x) ? [1, 0] : [0, x]);
    cells.sort((a, b) => {
      const [[nanA, x], [nanB, y]] = [rank(a.score) as [number, number], rank(b.score) as [number, number]];
      if (nanA !== nanB) return nanA - nanB;
      if (x !== y) return x > y ? -1 : 1;
      return a.row - b.row || a.column - b.column;
    });
    const taken = rule(cells, forced === 'counted' ? forcedCells : [], group[0]!.row);
    for (const { row, column } of [...forcedCells, ...taken]) o.data[row * C + column] = 1;
  }
  return o;
}

/** The k highest of each row (or list). */
export function selectTopK(map: NdArray, k: number | ((row: number) => number), choice: Choice = {}): Result {
  return chosen(map, choice, (cells, forcedCells, row) =>
    cells.slice(0, Math.max(0, (typeof k === 'number' ? k : k(row)) - forcedCells.length)),
  );
}

/** The fewest highest that hold a share of the sum. */
export function selectTopP(
  map: NdArray,
  p: number | ((row: number) => number),
  { minimum = 1, ...choice }: Choice & { minimum?: number | undefined } = {},
): Result {
  const massOf = (cells: readonly Cell[]) => cells.reduce((sum, { score }) => sum + (score > 0 ? score : 0), 0);
  return chosen(map, choice, (cells, forcedCells, row) => {
    const share = Math.fround(typeof p === 'number' ? p : p(row));
    if (share >= 1) return cells;
    const target = share * (massOf(forcedCells) + massOf(cells));
    let sum = massOf(forcedCells);
    let count = 0;
    while (sum < target && count < cells.length) sum += Math.max(0, cells[count++]!.score);
    return cells.slice(0, Math.max(count, minimum - forcedCells.length));
  });
}

/** The scores above a threshold. */
export function selectAbove(map: NdArray, threshold: number | ((row: number) => number), choice: Choice = {}): Result {
  return chosen(map, choice, (cells, _, row) =>
    cells.filter(({ score }) => score > (typeof threshold === 'number' ? threshold : threshold(row))),
  );
}

/** Bits [B, L, R, ceil(C / 32)] of ones and zeros [B, L, R, C]. */
export function bitsOf(ones: NdArray): { shape: readonly number[]; data: Int32Array } {
  const [B, L, R, C] = ones.shape as [number, number, number, number];
  const words = Math.ceil(C / 32);
  const data = new Int32Array(B * L * R * words);
  for (let at = 0; at < ones.data.length; ++at) {
    if (ones.data[at] === 0) continue;
    const column = at % C;
    data[Math.floor(at / C) * words + (column >> 5)]! |= 1 << (column & 31);
  }
  return { shape: [B, L, R, words], data };
}

/** Sums over i + offset - j = d, [B, L, 1, count], over what rows see. */
export function diagonalSums(
  map: NdArray,
  offset: number,
  count: number,
  visible?: Visible,
  round: Round = float64,
): Result {
  const [B, L, R] = map.shape as [number, number, number, number];
  const o = zeros([B, L, 1, count]);
  for (const { row, i, values } of rowsOf(map, visible)) {
    values.forEach((x, j) => {
      const d = i + offset - j;
      const at = Math.floor(row / R) * count + d;
      if (d >= 0 && d < count) o.data[at] = round(o.data[at]! + x);
    });
  }
  return o;
}

/** Tokens of labels [B, L, T] by label, then by themselves; labels outside [0, count) last. First places [B, L, count + 1]. */
export function sortByLabel(labels: NdArray, count: number): { order: Result; offsets: Result } {
  const [B, L, T] = labels.shape as [number, number, number];
  const order = zeros(labels.shape);
  const offsets = zeros([B, L, count + 1]);
  for (let list = 0; list < B * L; ++list) {
    const key = (t: number) => {
      const label = labels.data[list * T + t]!;
      return label >= 0 && label < count ? label : count;
    };
    const tokens = Array.from({ length: T }, (_, t) => t).sort((s, t) => key(s) - key(t) || s - t);
    tokens.forEach((t, place) => {
      order.data[list * T + place] = t;
    });
    for (let c = 0; c <= count; ++c) offsets.data[list * (count + 1) + c] = tokens.filter((t) => key(t) < c).length;
  }
  return { order, offsets };
}

/** [B * G, n, 1, D] of x [B, T, H, D] by order [B, L, n], G = max(H, L); zeros for what is no token. */
export function gatherHeads(x: NdArray, order: NdArray): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [, L, n] = order.shape as [number, number, number];
  const G = Math.max(H, L);
  const o = zeros([B * G, n, 1, D]);
  for (let at = 0; at < o.data.length; ++at) {
    const [d, i, g, b] = [at % D, Math.floor(at / D) % n, Math.floor(at / D / n) % G, Math.floor(at / D / n / G)];
    const t = order.data[(b * L + Math.floor((g * L) / G)) * n + i]!;
    if (t >= 0 && t < T) o.data[at] = x.data[((b * T + t) * H + Math.floor((g * H) / G)) * D + d]!;
  }
  return o;
}

/** [B, T, G, D] of rows [B * G, n, 1, D] at the tokens of order [B, L, n]. */
export function scatterHeads(
  rows: NdArray,
  order: NdArray,
  T: number,
  combine: 'assign' | 'add' | 'mean',
  round: Round = float64,
): Result {
  const [B, L, n] = order.shape as [number, number, number];
  const [G, D] = [rows.shape[0]! / B, rows.shape[3]!];
  const o = zeros([B, T, G, D]);
  for (let at = 0; at < o.data.length; ++at) {
    const [d, g, t, b] = [at % D, Math.floor(at / D) % G, Math.floor(at / D / G) % T, Math.floor(at / D / G / T)];
    const values: number[] = [];
    for (let i = 0; i < n; ++i) {
      if (order.data[(b * L + Math.floor((g * L) / G)) * n + i] === t)
        values.push(rows.data[((b * G + g) * n + i) * D + d]!);
    }
    if (values.length === 0) continue;
    const kind = combine === 'add' ? 'sum' : 'mean';
    o.data[at] = combine === 'assign' ? values.at(-1)! : reduced(values, kind, round);
  }
  return o;
}

/** Labels [B, H * rounds, T] of x [B, T, H, D] by planes [H or 1, D, rounds, n]: argmax [xR, -xR], or the bits xR > 0. */
export function hash(x: NdArray, planes: NdArray, signs: boolean): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const [heads, , rounds, n] = planes.shape as [number, number, number, number];
  const labels = zeros([B, H * rounds, T]);
  for (let at = 0; at < labels.data.length; ++at) {
    const [t, round, h, b] = [
      at % T,
      Math.floor(at / T) % rounds,
      Math.floor(at / T / rounds) % H,
      Math.floor(at / T / rounds / H),
    ];
    const y = Array.from({ length: n }, (_, j) => {
      let sum = 0;
      for (let d = 0; d < D; ++d) {
        const plane = planes.data[(((heads === 1 ? 0 : h) * D + d) * rounds + round) * n + j]!;
        sum += x.data[((b * T + t) * H + h) * D + d]! * plane;
      }
      return sum;
    });
    const both = [...y, ...y.map((value) => -value)];
    labels.data[at] = signs
      ? y.reduce((bits, value, j) => bits | (value > 0 ? 1 << j : 0), 0)
      : both.indexOf(Math.max(...both));
  }
  return labels;
}

/** Nearest centroid [B, H, T] of x [B, T, H, D] among [B, count, H, D]. */
export function nearestCentroid(x: NdArray, centroids: NdArray, by: 'euclidean' | 'dot'): Result {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const count = centroids.shape[1]!;
  const labels = zeros([B, H, T]);
  for (let at = 0; at < labels.data.length; ++at) {
    const [t, h, b] = [at % T, Math.floor(at / T) % H, Math.floor(at / T / H)];
    const scores = Array.from({ length: count }, (_, c) => {
      let score = 0;
      for (let d = 0; d < D; ++d) {
        const y = x.data[((b * T + t) * H + h) * D + d]!;
        const z = centroids.data[((b * count + c) * H + h) * D + d]!;
        score += by === 'dot' ? y * z : -((y - z) ** 2);
      }
      return score;
    });
    labels.data[at] = scores.indexOf(Math.max(...scores));
  }
  return labels;
}

/** Lloyd's k-means from rows at equal distances. */
export function kMeans(x: NdArray, clusters: number, iterations: number): { labels: Result; centroids: Result } {
  const [B, T, H, D] = x.shape as [number, number, number, number];
  const step = Math.floor(T / clusters);
  let centroids = zeros([B, clusters, H, D]);
  for (let at = 0; at < centroids.data.length; ++at) {
    const [rest, c, b] = [at % (H * D), Math.floor(at / H / D) % clusters, Math.floor(at / H / D / clusters)];
    centroids.data[at] = x.data[(b * T + c * step) * H * D + rest]!;
  }
  let labels = zeros([B, H, T]);
  for (let i = 0; i < iterations; ++i) {
    labels = nearestCentroid(x, centroids, 'euclidean');
    const { rows, counts } = poolLabels(x, labels, clusters, 'mean');
    const before = centroids;
    const data = rows.data.map((value, at) => {
      const [h, c, b] = [Math.floor(at / D) % H, Math.floor(at / D / H) % clusters, Math.floor(at / D / H / clusters)];
      return counts.data[(b * H + h) * clusters + c] === 0 ? before.data[at]! : value;
    });
    centroids = { shape: rows.shape, data };
  }
  return { labels, centroids };
}
