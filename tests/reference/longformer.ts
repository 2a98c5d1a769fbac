import { attention } from './attention.ts';
import { at, float64, type NdArray, offset, type Result, type Round } from './ndarray.ts';
import { maskOf, type PatternInputs } from './patterns.ts';

/**
 * Window attention with global tokens (Longformer, arXiv 2004.05150): every row sees the keys within its window and the global ones, each
 * once; the rows of global tokens see all keys, by projections of their own.
 */
export function longformer(
  inputs: PatternInputs & { qGlobal?: NdArray; kGlobal?: NdArray; vGlobal?: NdArray; globalMask?: NdArray },
  options: { window: number; dilation?: number | readonly number[]; causal?: boolean; scale?: number },
  round: Round = float64,
): { o: Result; lse: Result } {
  const { q, k, v, qGlobal = q, kGlobal = k, vGlobal = v, globalMask } = inputs;
  const { window, dilation = 1, causal = false, scale } = options;
  const isGlobal = (b: number, i: number) => globalMask !== undefined && at(globalMask, b, i) !== 0;
  const past = (i: number, j: number) => !causal || j <= i;
  const settings = scale === undefined ? {} : { scale };
  const mask = maskOf(q.shape, k.shape[1]!, (i, j, h, b) => {
    const step = typeof dilation === 'number' ? dilation : dilation[h]!;
    return past(i, j) && (isGlobal(b, j) || ((i - j) % step === 0 && Math.abs(i - j) <= window * step));
  });
  const local = attention({ q, k, v, mask }, settings, round);
  const whole = attention({ q: qGlobal, k: kGlobal, v: vGlobal }, { causal, ...settings }, round);
  const [batches = 0, t = 0, heads = 0] = q.shape;
  const dv = v.shape[3]!;
  for (let b = 0; b < batches; b++) {
    for (let i = 0; i < t; i++) {
      if (!isGlobal(b, i)) continue;
      const from = offset(local.o.shape, b, i, 0, 0);
      local.o.data.set(whole.o.data.subarray(from, from + heads * dv), from);
      const row = offset(local.lse.shape, b, i, 0);
      local.lse.data.set(whole.lse.data.subarray(row, row + heads), row);
    }
  }
  return local;
}
