import { type AttentionOptions, attention } from './attention.ts';
import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** q [B,Tq,Hq,D], kv [B,Tk,Hkv,D], kRope [B,Tk,R]: keys are [kv[.., : D-R], kRope], values kv (arXiv 2505.21487). */
export function gta(
  { q, kv, kRope, kvLens }: { q: NdArray; kv: NdArray; kRope: NdArray; kvLens?: NdArray },
  options: AttentionOptions = {},
  round: Round = float64,
): { o: Result; lse: Result } {
  const [batches = 0, tk = 0, heads = 0, d = 0] = kv.shape;
  const own = d - kRope.shape[2]!;
  const k = zeros(kv.shape);
  for (let b = 0; b < batches; b++)
    for (let j = 0; j < tk; j++)
      for (let h = 0; h < heads; h++)
        for (let c = 0; c < d; c++) {
          k.data[offset(k.shape, b, j, h, c)] = c < own ? at(kv, b, j, h, c) : at(kRope, b, j, c - own);
        }
  return attention({ q, k, v: kv, ...(kvLens && { kvLens }) }, options, round);
}
