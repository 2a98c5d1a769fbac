import type { AttentionInputs } from './attention.ts';
import { attendChosen } from './chosen.ts';
import { exp, float64, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { poolBlocks, scoreMap, selectTopK } from './select.ts';

/** Inputs of sla; the shapes are those of the op. */
export interface SlaInputs extends Pick<AttentionInputs, 'q' | 'k' | 'v'> {
  proj?: NdArray;
  projBias?: NdArray;
}

/** Options of sla. */
export interface SlaOptions {
  topk?: number;
  blockQ?: number;
  blockK?: number;
  featureMap?: 'softmax' | 'elu' | 'relu';
  linear?: 'rest' | 'all';
  scale?: number;
  eps?: number;
}

/** Key blocks of each query block and head: the highest products of means. */
export function chooseSla({ q, k }: SlaInputs, options: SlaOptions, round: Round = float64): Result {
  const { topk = 0.5, blockQ = 64, blockK = 64 } = options;
  const map = scoreMap(
    { q: poolBlocks(q, blockQ, 'mean', round), k: poolBlocks(k, blockK, 'mean', round), scale: 1 },
    round,
  );
  return selectTopK(map, Math.floor(topk * map.shape[3]!));
}

function featuresOf(x: readonly number[], map: SlaOptions['featureMap'], round: Round): number[] {
  if (map === 'relu') return x.map((y) => Math.max(0, y));
  if (map === 'elu') return x.map((y) => (y > 0 ? round(y + 1) : exp(round(y * logitFactor(round)), round)));
  const most = Math.max(...x);
  const weights = x.map((y) => exp(round(round(y - most) * logitFactor(round)), round));
  const sum = weights.reduce((total, w) => round(total + w), 0);
  return weights.map((w) => round(w / sum));
}

/**
 * Sparse-linear attention (arXiv 2509.24006): softmax over the chosen blocks, plus linear attention by features over the other
 * blocks, or over all, through a projection.
 */
export function sla(
  inputs: SlaInputs,
  options: SlaOptions = {},
  round: Round = float64,
  chosen: NdArray = chooseSla(inputs, options, round),
): { o: Result } {
  const { q, k, v, proj, projBias } = inputs;
  const { blockQ = 64, blockK = 64, featureMap = 'softmax', linear = 'rest', eps = 1e-5, scale } = options;
  const rowOf = (i: number) => Math.floor(i / blockQ);
  const columnOf = (j: number) => Math.floor(j / blockK);
  const { o } = attendChosen(inputs, chosen, { rowOf, columnOf, scale }, round);
  const [B, Tq, Hq, D] = q.shape as [number, number, number, number];
  const [, Tk, Hkv, Dv] = v.shape as [number, number, number, number];
  const L = chosen.shape[1]!;
  const [R, C] = chosen.shape.slice(2) as [number, number];
  const row = (x: NdArray, n: number) => Array.from({ length: D }, (_, d) => x.data[n * D + d]!);
  const result = zeros(o.shape);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < Hq; h++) {
      const kvHead = Math.floor((h * Hkv) / Hq);
      const list = Math.floor((h * L) / Hq);
      const keys = Array.from({ length: Tk }, (_, j) =>
        featuresOf(row(k, (b * Tk + j) * Hkv + kvHead), featureMap, round),
      );
      for (let i = 0; i < Tq; i++) {
        const query = featuresOf(row(q, (b * Tq + i) * Hq + h), featureMap, round);
        let denominator = 0;
        const mixed = new Array<number>(Dv).fill(0);
        for (let j = 0; j < Tk; j++) {
          const known = chosen.data[((b * L + list) * R + rowOf(i)) * C + columnOf(j)] !== 0;
          if (linear === 'rest' && known) continue;
          const weight = query.reduce((sum, x, d) => round(sum + round(x * keys[j]![d]!)), 0);
          denominator = round(denominator + weight);
          for (let d = 0; d < Dv; d++) {
            mixed[d] = round(mixed[d]! + round(weight * v.data[((b * Tk + j) * Hkv + kvHead) * Dv + d]!));
          }
        }
        const ratio = mixed.map((x) => round(x / round(denominator + eps)));
        for (let c = 0; c < Dv; c++) {
          let projected = proj ? 0 : ratio[c]!;
          if (proj)
            for (let d = 0; d < Dv; d++) projected = round(projected + round(ratio[d]! * proj.data[c * Dv + d]!));
          if (projBias) projected = round(projected + projBias.data[c]!);
          const at = ((b * Tq + i) * Hq + h) * Dv + c;
          result.data[at] = round(o.data[at]! + projected);
        }
      }
    }
  }
  return { o: result };
}
