import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Attributes of rope; defaults are the op's. */
export interface RopeOptions {
  base?: number;
  offset?: number;
  interleaved?: boolean;
  rotaryDim?: number;
}

/**
 * Rotates pairs of the first rotaryDim channels of x [B,T,H,D] by position * base^(-2n/rotaryDim), pair n being (n, n + rotaryDim/2),
 * or (2n, 2n+1) when interleaved; the position is offset + (positions [B,T] or [T], else t) (RoFormer, arXiv 2104.09864).
 */
export function rope(
  { x, positions }: { x: NdArray; positions?: NdArray },
  options: RopeOptions = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, t = 0, heads = 0, d = 0] = x.shape;
  const { base = 10000, offset: start = 0, interleaved = false, rotaryDim = d } = options;
  const o = zeros(x.shape);
  o.data.set(x.data);
  for (let b = 0; b < batches; b++)
    for (let i = 0; i < t; i++)
      for (let h = 0; h < heads; h++)
        for (let n = 0; n < rotaryDim / 2; n++) {
          const given = positions?.data[positions.shape.length === 2 ? b * t + i : i];
          const angle = round((start + (given ?? i)) * round(base ** ((-2 * n) / rotaryDim)));
          const cos = round(Math.cos(angle));
          const sin = round(Math.sin(angle));
          const first = offset(x.shape, b, i, h, interleaved ? 2 * n : n);
          const second = offset(x.shape, b, i, h, interleaved ? 2 * n + 1 : n + rotaryDim / 2);
          const u = x.data[first]!;
          const w = x.data[second]!;
          o.data[first] = round(round(u * cos) - round(w * sin));
          o.data[second] = round(round(u * sin) + round(w * cos));
        }
  return { o };
}
