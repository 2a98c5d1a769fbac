import { dot, float64, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** What may follow a product. */
export type Activation = 'none' | 'relu' | 'silu' | 'geluTanh';

/** relu, silu x / (1 + e^-x), or the tanh form of gelu, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
export function activate(x: number, activation: Activation, round: Round = float64): number {
  if (activation === 'relu') return Math.max(x, 0);
  if (activation === 'silu') return round(x / round(1 + round(Math.exp(-x))));
  if (activation === 'geluTanh') {
    const cubed = round(round(0.044715) * round(x * round(x * x)));
    const tanh = round(Math.tanh(round(round(Math.sqrt(2 / Math.PI)) * round(x + cubed))));
    return round(round(x / 2) * round(1 + tanh));
  }
  return x;
}

/** activation(a b + bias): a [...,M,K], b [K,N] or [N,K] with transposeB, bias [N]: o [...,M,N]. */
export function matmul(
  { a, b, bias }: { a: NdArray; b: NdArray; bias?: NdArray },
  { transposeB = false, activation = 'none' }: { transposeB?: boolean; activation?: Activation } = {},
  round: Round = float64,
): { o: Result } {
  const k = a.shape[a.shape.length - 1]!;
  const n = b.shape[transposeB ? 0 : 1]!;
  const o = zeros([...a.shape.slice(0, -1), n]);
  for (let row = 0; row < o.data.length / n; row++)
    for (let x = 0; x < n; x++) {
      const product = transposeB
        ? dot(a.data, row * k, 1, b.data, x * k, 1, k, round)
        : dot(a.data, row * k, 1, b.data, x, n, k, round);
      o.data[row * n + x] = activate(bias ? round(product + bias.data[x]!) : product, activation, round);
    }
  return { o };
}
