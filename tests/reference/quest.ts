import type { AttentionInputs } from './attention.ts';
import { alignment, attendChosen } from './chosen.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { poolBlocks, selectTopK, type Visible } from './select.ts';

type Inputs = Pick<AttentionInputs, 'q' | 'k' | 'v'>;

/** Options of quest. */
export interface QuestOptions {
  pageSize?: number;
  topk: number;
  scale?: number;
}

/** Bounds [B, Hkv, pages, 2, D] of keys: the largest and the least of each channel in each page. */
export function questPages({ k }: { k: NdArray }, { pageSize = 16 }: { pageSize?: number } = {}): Result {
  const [B, Tk, H, D] = k.shape as [number, number, number, number];
  const pages = Math.ceil(Tk / pageSize);
  const bounds = zeros([B, H, pages, 2, D]);
  for (const [half, kind] of (['max', 'min'] as const).entries()) {
    const pooled = poolBlocks(k, pageSize, kind);
    for (let n = 0; n < pooled.data.length; n++) {
      const [c, h, p, b] = [n % D, Math.floor(n / D) % H, Math.floor(n / D / H) % pages, Math.floor(n / D / H / pages)];
      bounds.data[(((b * H + h) * pages + p) * 2 + half) * D + c] = pooled.data[n]!;
    }
  }
  return bounds;
}

/** Pages [0, floor((i * mul + add) / div)) that query i sees some key of. */
export function visiblePages({ q, k }: Pick<Inputs, 'q' | 'k'>, pageSize: number): Visible {
  return { mul: 1, add: alignment(q, k) + pageSize, div: pageSize };
}

/** Scores [B, Hq, Tq, pages]: sum over c of max(q_c max_c, q_c min_c). */
export function scorePages({ q, bounds }: { q: NdArray; bounds: NdArray }, round: Round = float64): Result {
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Hkv, pages] = bounds.shape as [number, number, number];
  const map = zeros([B, Hq, Tq, pages]);
  for (let at = 0; at < map.data.length; at++) {
    const [p, i, h, b] = [
      at % pages,
      Math.floor(at / pages) % Tq,
      Math.floor(at / pages / Tq) % Hq,
      Math.floor(at / pages / Tq / Hq),
    ];
    const page = ((b * Hkv + Math.floor((h * Hkv) / Hq)) * pages + p) * 2 * D;
    let sum = 0;
    for (let c = 0; c < D; c++) {
      const x = q.data[((b * Tq + i) * Hq + h) * D + c]!;
      sum = round(sum + Math.max(round(x * bounds.data[page + c]!), round(x * bounds.data[page + D + c]!)));
    }
    map.data[at] = sum;
  }
  return map;
}

/** Pages of each query and head. */
export function chooseQuest({ q, k }: Inputs, { pageSize = 16, topk }: QuestOptions, round: Round = float64): Result {
  const scores = scorePages({ q, bounds: questPages({ k }, { pageSize }) }, round);
  return selectTopK(scores, topk, { visible: visiblePages({ q, k }, pageSize) });
}

/** Attention on the pages whose bounds on the scores are highest (arXiv 2406.10774). */
export function quest(
  inputs: Inputs,
  options: QuestOptions,
  round: Round = float64,
  chosen: NdArray = chooseQuest(inputs, options, round),
): { o: Result; lse: Result; pages: Result } {
  const { pageSize = 16, topk, scale } = options;
  const [B, H, Tq, P] = chosen.shape as [number, number, number, number];
  const K = Math.min(topk, P);
  const pages = zeros(Tq === 1 ? [B, H, K] : [B, H, Tq, K]);
  for (let row = 0; row < B * H * Tq; row++) {
    const list = Array.from({ length: P }, (_, p) => p).filter((p) => chosen.data[row * P + p] === 1);
    for (let n = 0; n < K; n++) pages.data[row * K + n] = list[n] ?? -1;
  }
  const columnOf = (j: number) => Math.floor(j / pageSize);
  return { ...attendChosen(inputs, chosen, { columnOf, causal: true, scale }, round), pages };
}
