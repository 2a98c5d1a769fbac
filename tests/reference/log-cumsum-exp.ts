import { at, exp, float64, log, logitFactor, type NdArray, offset, type Result, type Round, zeros } from './ndarray.ts';

/** o_t = ln(e^initial + sum_{s <= t} e^{x_s}), the sum kept relative to a running maximum. */
export function logCumsumExp(
  { x, initial }: { x: NdArray; initial?: NdArray | undefined },
  _options: object = {},
  round: Round = float64,
): { o: Result; final: Result } {
  const [batches = 0, length = 0, channels = 0] = x.shape;
  const base = logitFactor(round);
  const o = zeros(x.shape);
  const final = zeros([batches, channels]);
  for (let b = 0; b < batches; b++)
    for (let d = 0; d < channels; d++) {
      let m = initial ? at(initial, b, d) : Number.NEGATIVE_INFINITY;
      let sum = m === Number.NEGATIVE_INFINITY ? 0 : 1;
      let z = m;
      for (let t = 0; t < length; t++) {
        const value = at(x, b, t, d);
        const most = Math.max(m, value);
        const weight = (y: number) => (y === Number.NEGATIVE_INFINITY ? 0 : exp(round(round(y - most) * base), round));
        sum = round(round(sum * weight(m)) + weight(value));
        m = most;
        z = sum === 0 ? Number.NEGATIVE_INFINITY : round(m + round(log(sum, round) / base));
        o.data[offset(o.shape, b, t, d)] = z;
      }
      final.data[offset(final.shape, b, d)] = z;
    }
  return { o, final };
}
