import { at, float64, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** Depthwise cross-correlation with zeros around the image, x [B,Hh,Ww,C], weight [kh,kw,C]: o as x (PyTorch, padding 'same'). */
export function dwConv2d(
  { x, weight, bias }: { x: NdArray; weight: NdArray; bias?: NdArray },
  _options: object = {},
  round: Round = float64,
): { o: Result } {
  const [batches = 0, height = 0, width = 0, channels = 0] = x.shape;
  const [kh = 0, kw = 0] = weight.shape;
  const o = zeros(x.shape);
  for (let b = 0; b < batches; b++)
    for (let y = 0; y < height; y++)
      for (let z = 0; z < width; z++)
        for (let c = 0; c < channels; c++) {
          let sum = bias ? at(bias, c) : 0;
          for (let i = 0; i < kh; i++)
            for (let j = 0; j < kw; j++) {
              const [row, column] = [y + i - Math.floor((kh - 1) / 2), z + j - Math.floor((kw - 1) / 2)];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              sum = round(sum + round(at(weight, i, j, c) * at(x, b, row, column, c)));
            }
          o.data[offset(o.shape, b, y, z, c)] = sum;
        }
  return { o };
}
