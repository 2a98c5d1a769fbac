import type { AttentionInputs } from './attention.ts';
import { alignment, attendChosen } from './chosen.ts';
import { float64, type NdArray, type Result, type Round } from './ndarray.ts';
import { scoreMap, selectTopK } from './select.ts';

/** Inputs of dsa; the shapes are those of the op. */
export interface DsaInputs extends Pick<AttentionInputs, 'q' | 'k' | 'v'> {
  qIdx: NdArray;
  kIdx: NdArray;
  wIdx: NdArray;
}

/** Options of dsa. */
export interface DsaOptions {
  topk: number;
  scale?: number;
}

/** The lightning indexer: sum over its heads of w * max(0, q k / sqrt(DI)). */
export function indexerScores({ qIdx, kIdx, wIdx }: DsaInputs, round: Round = float64): Result {
  const [B, Tk, D] = kIdx.shape as [number, number, number];
  const k = { shape: [B, Tk, 1, D], data: kIdx.data };
  return scoreMap({ q: qIdx, k, scale: D ** -0.5, weights: wIdx }, round);
}

/** Keys of each query, the same for all heads. */
export function chooseDsa(inputs: DsaInputs, { topk }: DsaOptions, round: Round = float64): Result {
  const visible = { mul: 1, add: alignment(inputs.q, inputs.k) + 1, div: 1 };
  return selectTopK(indexerScores(inputs, round), topk, { visible });
}

/** DeepSeek sparse attention (DeepSeek-V3.2-Exp, fla naive_dsa). */
export function dsa(
  inputs: DsaInputs,
  options: DsaOptions,
  round: Round = float64,
  chosen: NdArray = chooseDsa(inputs, options, round),
): { o: Result; lse: Result } {
  return attendChosen(inputs, chosen, { causal: true, scale: options.scale }, round);
}
