import { softmax } from './attention.ts';
import { inner, row, setRow } from './linear.ts';
import { at, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';
import { spansOf } from './sequences.ts';

/**
 * u_i = v_i - beta_i sum_{j<i} softmax_{j<i}(scale q_i k_j) u_j, the first row's sum being 0; o [B,T,Hq,Dv] is causal
 * softmax attention of q, k and u; beta [B,T,Hq] (DeltaFormer, arXiv 2505.19488).
 */
export function deltaformer(
  { q, k, v, beta, cuSeqlens }: { q: NdArray; k: NdArray; v: NdArray; beta: NdArray; cuSeqlens?: NdArray | undefined },
  { scale }: { scale?: number } = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, hq = 0, d = 0] = q.shape;
  const [, , hkv = 0, dv = 0] = v.shape;
  const factor = round(scale ?? d ** -0.5);
  const o = zeros([batches, t, hq, dv]);
  for (const { batch: b, begin, end } of spansOf(q, cuSeqlens))
    for (let h = 0; h < hq; h++) {
      const kvHead = Math.floor(h / (hq / hkv));
      const changed: number[][] = [];
      const read = (logits: readonly number[]) => {
        const sum = new Array<number>(dv).fill(0);
        softmax(logits, round).p.forEach((weight, j) => {
          for (let c = 0; c < dv; c++) sum[c] = round(sum[c]! + round(weight * changed[j]![c]!));
        });
        return sum;
      };
      for (let i = begin; i < end; i++) {
        const query = row(q, b, i, h);
        const logits: number[] = [];
        for (let j = begin; j <= i; j++) logits.push(round(factor * inner(query, row(k, b, j, kvHead), round)));
        const before = i === begin ? new Array<number>(dv).fill(0) : read(logits.slice(0, -1));
        const strength = at(beta, b, i, h);
        changed.push(row(v, b, i, kvHead).map((value, c) => round(value - round(strength * before[c]!))));
        setRow(o, read(logits), b, i, h);
      }
    }
  return { o };
}
