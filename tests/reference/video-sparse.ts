import type { AttentionInputs } from './attention.ts';
import { attendChosen, boxesOf, gatedSum, labelsFor } from './chosen.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { poolLabels, scoreMap, selectTopK, selectTopP, softmaxMap } from './select.ts';

type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Attention of pooled tokens, and the map of its weights. */
function pooledMap({ q, k }: Inputs, labels: readonly number[], count: number, scale: number, round: Round): Result {
  const each = labelsFor(labels, q.shape[0]!);
  const [qPool, kPool] = [q, k].map((x) => poolLabels(x, each, count, 'mean', round).rows);
  return scoreMap({ q: qPool!, k: kPool!, scale }, round);
}

/** Options of vsa. */
export interface VsaOptions {
  shape: readonly [frames: number, height: number, width: number];
  cube?: readonly [frames: number, height: number, width: number];
  topk: number;
  scale?: number;
}

/** Cubes of each cube and head: those with the highest weights. */
export function chooseVsa(inputs: Inputs, { shape, cube = [4, 4, 4], ...rest }: VsaOptions, round: Round = float64) {
  const { labels, count } = boxesOf(shape, cube);
  const { topk, scale = inputs.q.shape[3]! ** -0.5 } = rest;
  return selectTopK(softmaxMap(pooledMap(inputs, labels, count, scale, round), 1, undefined, round), topk);
}

/** Video sparse attention: attention of pooled cubes by the gate, and attention over the chosen cubes (arXiv 2505.13389). */
export function vsa(
  inputs: Inputs & { gate?: NdArray },
  options: VsaOptions,
  round: Round = float64,
  chosen: NdArray = chooseVsa(inputs, options, round),
): { o: Result } {
  const { q, v, gate } = inputs;
  const { shape, cube = [4, 4, 4], scale = q.shape[3]! ** -0.5 } = options;
  const { labels, count } = boxesOf(shape, cube);
  const p = softmaxMap(pooledMap(inputs, labels, count, scale, round), 1, undefined, round);
  const values = poolLabels(v, labelsFor(labels, v.shape[0]!), count, 'mean', round).rows;
  const [B, T, H] = q.shape as [number, number, number];
  const [, , Hkv, D] = values.shape as [number, number, number, number];
  const coarse = zeros([B, T, H, D]);
  for (let n = 0; n < coarse.data.length; n++) {
    const [d, h, t, b] = [n % D, Math.floor(n / D) % H, Math.floor(n / D / H) % T, Math.floor(n / D / H / T)];
    for (let c = 0; c < count; c++) {
      const weight = p.data[((b * H + h) * count + labels[t]!) * count + c]!;
      const value = values.data[((b * count + c) * Hkv + Math.floor((h * Hkv) / H)) * D + d]!;
      coarse.data[n] = round(coarse.data[n]! + round(weight * value));
    }
  }
  const of = (token: number) => labels[token]!;
  const fine = attendChosen(inputs, chosen, { rowOf: of, columnOf: of, scale }, round).o;
  return {
    o: gatedSum(
      [
        [gate, coarse],
        [undefined, fine],
      ],
      round,
    ),
  };
}

/** Options of draftAttention. */
export interface DraftOptions {
  shape: readonly [frames: number, height: number, width: number];
  pool?: readonly [height: number, width: number];
  keep?: number;
  scale?: number;
}

/** Pairs of patches of each head: all but the floor((1 - keep) n) least of its n weights. */
export function chooseDraft(inputs: Inputs, { shape, pool = [8, 16], ...rest }: DraftOptions, round: Round = float64) {
  const { keep = 0.1, scale = inputs.q.shape[3]! ** -0.5 } = rest;
  const { labels, count } = boxesOf(shape, [1, ...pool]);
  const map = softmaxMap(pooledMap(inputs, labels, count, scale, round), 1, undefined, round);
  const cells = count * count;
  return selectTopK(map, cells - Math.floor((1 - keep) * cells), { scope: 'head' });
}

/** Draft attention (arXiv 2505.14708). */
export function draftAttention(
  inputs: Inputs,
  options: DraftOptions,
  round: Round = float64,
  chosen: NdArray = chooseDraft(inputs, options, round),
): { o: Result; lse: Result } {
  const { labels } = boxesOf(options.shape, [1, ...(options.pool ?? [8, 16])]);
  const of = (token: number) => labels[token]!;
  return attendChosen(inputs, chosen, { rowOf: of, columnOf: of, scale: options.scale }, round);
}

/** Options of vmoba. */
export interface VmobaOptions {
  shape: readonly [frames: number, height: number, width: number];
  /** Frames of a chunk; or height and width of a chunk of all frames; or all three. */
  chunk: number | readonly [number, number] | readonly [number, number, number];
  threshold?: number;
  topk?: number;
  scale?: number;
}

/** The chunk of each token. */
export function chunksOf({ shape, chunk }: VmobaOptions): { labels: number[]; count: number } {
  if (typeof chunk === 'number') return boxesOf(shape, [chunk, shape[1], shape[2]]);
  return boxesOf(shape, chunk.length === 2 ? [shape[0], ...chunk] : chunk);
}

/**
 * Chunks of each query and head: its own, and of the others the fewest whose weights, the scores between a row's least and largest as
 * 0 to 1, bring the share of the row's sum to the threshold; at least one other. With topk: the topk highest, its own among them.
 */
export function chooseVmoba(inputs: Inputs, options: VmobaOptions, round: Round = float64): Result {
  const { q, k } = inputs;
  const { threshold = 0.25, topk } = options;
  const { labels, count } = chunksOf(options);
  const means = poolLabels(k, labelsFor(labels, q.shape[0]!), count, 'mean', round).rows;
  const gates = scoreMap({ q, k: means, scale: 1 }, round);
  const [B, H, T, C] = gates.shape as [number, number, number, number];
  const own = (row: number) => labels[row % T]!;
  const chosen = zeros(gates.shape);
  const others = zeros(gates.shape);
  const shares: number[] = [];
  for (let row = 0; row < B * H * T; row++) {
    const scores = Array.from({ length: C }, (_, c) => gates.data[row * C + c]!);
    const least = Math.min(...scores);
    const span = Math.max(...scores) - least;
    const weights = scores.map((x) => round(round(x - least) / (span <= 1e-6 ? 1 : span)));
    const total = weights.reduce((sum, x) => round(sum + x), 0);
    const rest = round(total - weights[own(row)]!);
    shares.push(rest > 0 ? Math.max(0, (threshold * (total + 1e-6) - weights[own(row)]!) / rest) : 0);
    weights.forEach((x, c) => {
      others.data[row * C + c] = topk === undefined ? x : scores[c]!;
    });
    others.data[row * C + own(row)] = Number.NaN;
  }
  const picked =
    topk === undefined ? selectTopP(others, (row) => shares[row]!, { minimum: 1 }) : selectTopK(others, topk - 1);
  for (let row = 0; row < B * H * T; row++) {
    for (let c = 0; c < C; c++) chosen.data[row * C + c] = picked.data[row * C + c]!;
    chosen.data[row * C + own(row)] = 1;
  }
  return chosen;
}

/** Video mixture of block attention (arXiv 2506.23858). */
export function vmoba(
  inputs: Inputs,
  options: VmobaOptions,
  round: Round = float64,
  chosen: NdArray = chooseVmoba(inputs, options, round),
): { o: Result; lse: Result } {
  const { labels } = chunksOf(options);
  return attendChosen(inputs, chosen, { columnOf: (j) => labels[j]!, scale: options.scale }, round);
}
