import { dot, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** x / sqrt(mean(x^2) + eps) * weight over the last axis (arXiv 1910.07467). */
export function rmsNorm(
  { x, weight }: { x: NdArray; weight?: NdArray },
  { eps = 1e-5 }: { eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const d = x.shape[x.shape.length - 1]!;
  const o = zeros(x.shape);
  for (let from = 0; from < x.data.length; from += d) {
    const meanSquare = round(dot(x.data, from, 1, x.data, from, 1, d, round) / d);
    const root = round(Math.sqrt(round(meanSquare + round(eps))));
    for (let c = 0; c < d; c++)
      o.data[from + c] = round(round(x.data[from + c]! / root) * (weight ? weight.data[c]! : 1));
  }
  return { o };
}

/** (x - mean) / sqrt(variance + eps) * weight + bias over the last axis (arXiv 1607.06450). */
export function layerNorm(
  { x, weight, bias }: { x: NdArray; weight?: NdArray; bias?: NdArray },
  { eps = 1e-5 }: { eps?: number } = {},
  round: Round = float64,
): { o: Result } {
  const d = x.shape[x.shape.length - 1]!;
  const o = zeros(x.shape);
  for (let from = 0; from < x.data.length; from += d) {
    const mean = round(dot(x.data, from, 1, [1], 0, 0, d, round) / d);
    const centred = Array.from({ length: d }, (_, c) => round(x.data[from + c]! - mean));
    const root = round(Math.sqrt(round(round(dot(centred, 0, 1, centred, 0, 1, d, round) / d) + round(eps))));
    centred.forEach((value, c) => {
      const scaled = round(round(value / root) * (weight ? weight.data[c]! : 1));
      o.data[from + c] = bias ? round(scaled + bias.data[c]!) : scaled;
    });
  }
  return { o };
}
