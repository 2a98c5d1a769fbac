import { attention } from './attention.ts';
import { float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';
import { maskOf, type PatternInputs } from './patterns.ts';

/**
 * Attention inside windows of an image that was rolled by -shift, q, k, v [B, Y, X, H, D] (Swin Transformer, arXiv 2103.14030).
 * The bias of a pair is row (dy + w - 1)(2w - 1) + dx + w - 1 of the table [(2w - 1)^2, H], d = query - key within the rolled image;
 * pairs that the roll brought together from different borders are hidden.
 */
export function swinAttention(
  { q, k, v, biasTable }: PatternInputs & { biasTable?: NdArray },
  options: { windowSize: number; shiftSize?: number; scale?: number },
  round: Round = float64,
): { o: Result; lse: Result } {
  const { windowSize: w, shiftSize = 0, scale } = options;
  const [batches = 0, height = 0, width = 0, heads = 0] = q.shape;
  const t = height * width;
  const flat = (x: NdArray) => ({ shape: [batches, t, x.shape[3]!, x.shape[4]!], data: x.data });
  const rolled = (token: number) => {
    const y = (Math.floor(token / width) - shiftSize + height) % height;
    const x = ((token % width) - shiftSize + width) % width;
    return { y, x };
  };
  const region = (at: number, length: number) =>
    shiftSize === 0 ? 0 : Number(at >= length - w) + Number(at >= length - shiftSize);
  const visible = (i: number, j: number) => {
    const [a, b] = [rolled(i), rolled(j)];
    const sameWindow = Math.floor(a.y / w) === Math.floor(b.y / w) && Math.floor(a.x / w) === Math.floor(b.x / w);
    return sameWindow && region(a.y, height) === region(b.y, height) && region(a.x, width) === region(b.x, width);
  };
  const bias = zeros([1, heads, t, t]);
  for (let h = 0; h < heads && biasTable; h++) {
    for (let i = 0; i < t; i++) {
      for (let j = 0; j < t; j++) {
        if (!visible(i, j)) continue;
        const [a, b] = [rolled(i), rolled(j)];
        const row = (a.y - b.y + w - 1) * (2 * w - 1) + (a.x - b.x + w - 1);
        bias.data[offset(bias.shape, 0, h, i, j)] = biasTable.data[row * heads + h]!;
      }
    }
  }
  const mask = maskOf([1, t, 1], t, visible);
  const { o, lse } = attention(
    { q: flat(q), k: flat(k), v: flat(v), mask, bias },
    scale === undefined ? {} : { scale },
    round,
  );
  return {
    o: { shape: [batches, height, width, heads, v.shape[4]!], data: o.data },
    lse: { shape: [batches, height, width, heads], data: lse.data },
  };
}
