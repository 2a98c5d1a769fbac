import { attention } from './attention.ts';
import { falling, heaviest, largest, maskOf, meanBlocks, product, rowOf, softmaxOf } from './block-choice.ts';
import { lastRowSums } from './minference.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Operands of flexPrefill. */
export interface FlexPrefillInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
}

/** Options of flexPrefill. */
export interface FlexPrefillOptions {
  gamma?: number;
  tau?: number;
  minBudget?: number;
  maxBudget?: number;
  block?: number;
  scale?: number;
}

/** How many of the largest come before their sum passes a share, and the first that passes it. */
function coverCount(mass: readonly number[], share: number): { count: number; gap: number } {
  let sum = 0;
  let count = 1;
  let gap = Number.POSITIVE_INFINITY;
  for (const i of falling(mass)) {
    sum += mass[i]!;
    gap = Math.min(gap, Math.abs(sum - share));
    if (sum > share) break;
    count++;
  }
  return { count, gap };
}

/** Square root of the Jensen-Shannon divergence of two distributions, in natural units; 0 ln 0 is 0. */
export function rootDivergence(p: readonly number[], q: readonly number[]): number {
  const term = (x: number, m: number) => (x > 0 ? x * Math.log(x / m) : 0);
  let sum = 0;
  p.forEach((x, i) => {
    const m = (x + q[i]!) / 2;
    sum += term(x, m) + term(q[i]!, m);
  });
  return Math.sqrt(Math.max(0, sum / 2));
}

/**
 * Blocks u8 [B,H,R,R] by head. Over the last block of queries: where the softmax of their mean with the means of key blocks is close (tau)
 * to the true weights summed by blocks, the head is query-aware and takes the smallest set of pairs of blocks whose softmax weights reach
 * gamma of all rows together; other heads take the columns and diagonals of blocks whose weights reach gamma. The first column and the
 * diagonal belong to every head (FlexPrefill, arXiv 2502.20766).
 */
export function flexPrefillChoice(
  { q, k }: FlexPrefillInputs,
  {
    gamma = 0.9,
    tau = 0.1,
    minBudget = 1,
    maxBudget = Number.POSITIVE_INFINITY,
    block = 128,
    scale,
  }: FlexPrefillOptions = {},
): { chosen: Result; aware: Result; gap: number } {
  const [batches = 0, length = 0, heads = 0, d = 0] = q.shape;
  const kvHeads = k.shape[2]!;
  const factor = scale ?? d ** -0.5;
  const count = Math.ceil(length / block);
  const chosen = zeros([batches, heads, count, count]);
  const aware = zeros([batches, heads]);
  const [meanQ, meanK] = [meanBlocks(q, block), meanBlocks(k, block)];
  const last = Math.min(block, length);
  const least = Math.min(count, Math.ceil(minBudget / block));
  const most = Math.min(count, Math.ceil(maxBudget / block));
  let gap = Number.POSITIVE_INFINITY;
  for (let b = 0; b < batches; b++) {
    for (let h = 0; h < heads; h++) {
      const kh = Math.floor(h / (heads / kvHeads));
      const sums = lastRowSums(q, k, b, h, last, factor);
      const [vertical, slash] = [sums.columns.map((x) => x / last), sums.diagonals.map((x) => x / last)];
      const byBlock = (x: readonly number[]) =>
        Array.from({ length: count }, (_, c) => x.slice(c * block, (c + 1) * block).reduce((a, y) => a + y, 0));
      const mean = Array.from({ length: d }, (_, c) => {
        let sum = 0;
        for (let t = length - last; t < length; t++) sum += q.data[offset(q.shape, b, t, h, c)]!;
        return sum / last;
      });
      const guess = softmaxOf(Array.from({ length: count }, (_, c) => factor * product(mean, rowOf(meanK, b, c, kh))));
      const distance = rootDivergence(guess, byBlock(vertical));
      gap = Math.min(gap, Math.abs(distance - tau));
      const isAware = distance < tau;
      aware.data[offset(aware.shape, b, h)] = isAware ? 1 : 0;
      const budget = (mass: readonly number[]) => {
        const cover = coverCount(mass, gamma);
        if (isAware) return least;
        // only a change of the number of blocks matters
        if (gamma < 1) gap = Math.min(gap, cover.gap);
        return gamma >= 1 ? most : Math.min(most, Math.max(least, Math.floor(cover.count / block) + 1));
      };
      const columns = largest(byBlock(vertical), budget(vertical), new Set([0]));
      const diagonals = largest(byBlock(slash), budget(slash), new Set([0]));
      gap = Math.min(gap, columns.gap, diagonals.gap);
      const set = (r: number, c: number) => {
        if (c >= 0 && c <= r) chosen.data[offset(chosen.shape, b, h, r, c)] = 1;
      };
      for (let r = 0; r < count; r++) {
        for (const c of columns.chosen) set(r, c);
        for (const s of diagonals.chosen) set(r, r - s);
      }
      if (!isAware) continue;
      const places: [r: number, c: number][] = [];
      const mass: number[] = [];
      for (let r = 0; r < count; r++) {
        const scores = Array.from(
          { length: r + 1 },
          (_, c) => factor * product(rowOf(meanQ, b, r, h), rowOf(meanK, b, c, kh)),
        );
        softmaxOf(scores).forEach((p, c) => {
          places.push([r, c]);
          mass.push(p);
        });
      }
      const flat = heaviest(mass, gamma);
      gap = Math.min(gap, flat.gap);
      for (const n of flat.chosen) set(...places[n]!);
    }
  }
  return { chosen, aware, gap };
}

/** Causal softmax attention over the chosen blocks. */
export function flexPrefill(
  inputs: FlexPrefillInputs,
  options: FlexPrefillOptions = {},
  round: Round = float64,
  { chosen }: { chosen: NdArray } = flexPrefillChoice(inputs, options),
): { o: Result; lse: Result } {
  const { block = 128, scale } = options;
  const [batches = 0, length = 0, heads = 0] = inputs.q.shape;
  const mask = maskOf(
    [batches, heads, length, length],
    (b, h, i, j) => chosen.data[offset(chosen.shape, b, h, Math.floor(i / block), Math.floor(j / block))] === 1,
  );
  return attention({ ...inputs, mask }, { causal: true, ...(scale !== undefined && { scale }) }, round);
}
