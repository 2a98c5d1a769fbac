import { exp, float64, log, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Attention over the union of two disjoint key sets from the two results: o [B,T,H,Dv], lse [B,T,H]; both empty gives zeros and -Infinity. */
export function mergeState(
  { oA, lseA, oB, lseB }: { oA: NdArray; lseA: NdArray; oB: NdArray; lseB: NdArray },
  round: Round = float64,
): { o: Result; lse: Result } {
  const o = zeros(oA.shape);
  const lse = zeros(lseA.shape);
  const dv = oA.shape[oA.shape.length - 1]!;
  const factor = logitFactor(round);
  for (let row = 0; row < lse.data.length; row++) {
    const a = round(lseA.data[row]! * factor);
    const b = round(lseB.data[row]! * factor);
    const max = Math.max(a, b);
    if (max === Number.NEGATIVE_INFINITY) {
      lse.data[row] = max;
      continue;
    }
    const wA = exp(round(a - max), round);
    const wB = exp(round(b - max), round);
    const sum = round(wA + wB);
    lse.data[row] = round(round(max + log(sum, round)) / factor);
    for (let n = row * dv; n < (row + 1) * dv; n++) {
      o.data[n] = round(round(round(wA * oA.data[n]!) + round(wB * oB.data[n]!)) / sum);
    }
  }
  return { o, lse };
}
