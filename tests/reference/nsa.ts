import { attention } from './attention.ts';
import { alignment, attendChosen, gatedSum } from './chosen.ts';
import { float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { poolBlocks, reduceMap, scoreMap, selectTopK, softmaxMap } from './select.ts';

/** Inputs of nsa; the shapes are those of the op. */
export interface NsaInputs {
  q: NdArray;
  k: NdArray;
  v: NdArray;
  gCmp?: NdArray;
  gSlc?: NdArray;
  gSwa?: NdArray;
  kCmp?: NdArray;
  vCmp?: NdArray;
}

/** Options of nsa. */
export interface NsaOptions {
  blockSize?: number;
  blockCounts?: number;
  windowSize?: number;
  scale?: number;
}

/** Softmax over the compressed keys whose blocks lie wholly in the past. */
function compressed({ q, k, kCmp }: NsaInputs, options: NsaOptions, round: Round): Result {
  const { blockSize = 64, scale = q.shape[3]! ** -0.5 } = options;
  const map = scoreMap({ q, k: kCmp ?? poolBlocks(k, blockSize, 'mean', round), scale }, round);
  return softmaxMap(map, 1, { mul: 1, add: alignment(q, k) + 1, div: blockSize }, round);
}

/** Blocks of each query and key/value head: block 0, its own and the one before, and the most important others. */
export function chooseNsa(inputs: NsaInputs, options: NsaOptions, round: Round = float64): Result {
  const { q, k } = inputs;
  const { blockSize = 64, blockCounts = 16 } = options;
  const importance = reduceMap(
    compressed(inputs, options, round),
    { heads: q.shape[2]! / k.shape[2]! },
    'mean',
    undefined,
    round,
  );
  const visible = { mul: 1, add: alignment(q, k) + blockSize, div: blockSize };
  return selectTopK(importance, blockCounts, { visible, first: 1, last: 2 });
}

/** Native sparse attention: compressed, selected and sliding branches by their gates (arXiv 2502.11089, fla naive_nsa). */
export function nsa(
  inputs: NsaInputs,
  options: NsaOptions = {},
  round: Round = float64,
  chosen: NdArray = chooseNsa(inputs, options, round),
): { o: Result } {
  const { q, k, v, gCmp, gSlc, gSwa, vCmp } = inputs;
  const { blockSize = 64, windowSize = 0, scale = q.shape[3]! ** -0.5 } = options;
  const branches: [NdArray, NdArray][] = [];
  if (gCmp) {
    const p = compressed(inputs, options, round);
    const values = vCmp ?? poolBlocks(v, blockSize, 'mean', round);
    const [B, H, T, M] = p.shape as [number, number, number, number];
    const [, , Hkv, D] = values.shape as [number, number, number, number];
    const o = zeros([B, T, H, D]);
    for (let n = 0; n < o.data.length; n++) {
      const [d, h, t, b] = [n % D, Math.floor(n / D) % H, Math.floor(n / D / H) % T, Math.floor(n / D / H / T)];
      for (let c = 0; c < M; c++) {
        const value = values.data[((b * M + c) * Hkv + Math.floor((h * Hkv) / H)) * D + d]!;
        o.data[n] = round(o.data[n]! + round(p.data[((b * H + h) * T + t) * M + c]! * value));
      }
    }
    branches.push([gCmp, o]);
  }
  if (gSlc) {
    const columnOf = (j: number) => Math.floor(j / blockSize);
    branches.push([gSlc, attendChosen({ q, k, v }, chosen, { columnOf, causal: true, scale }, round).o]);
  }
  if (gSwa) {
    branches.push([gSwa, attention({ q, k, v }, { causal: true, window: [windowSize - 1, 0], scale }, round).o]);
  }
  return { o: gatedSum(branches, round) };
}
