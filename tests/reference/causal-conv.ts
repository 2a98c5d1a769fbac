import { at, exp, float64, logitFactor, type NdArray, type Result, type Round, zeros } from './ndarray.ts';

/** Rows of each sequence: of each batch entry, or between the boundaries of a packed batch. */
export function sequenceRows(
  shape: readonly number[],
  cuSeqlens?: NdArray,
): { batch: number; from: number; to: number }[] {
  const [batches = 0, t = 0] = shape;
  if (!cuSeqlens) return Array.from({ length: batches }, (_, batch) => ({ batch, from: 0, to: t }));
  return Array.from({ length: cuSeqlens.data.length - 1 }, (_, n) => ({
    batch: 0,
    from: cuSeqlens.data[n]!,
    to: cuSeqlens.data[n + 1]!,
  }));
}

/** x / (1 + e^-x). */
export function silu(x: number, round: Round): number {
  return round(x / round(1 + exp(-round(x * logitFactor(round)), round)));
}

/**
 * o[t] = act(bias + sum_w weight[w] x[t - W + 1 + w]) per channel, where inputs before the first are the state [N,D,W-1]
 * (state-spaces causal_conv1d): o [B,T,D], finalState [N,D,W-1] the last inputs.
 */
export function causalConv1d(
  {
    x,
    weight,
    bias,
    initialState,
    cuSeqlens,
  }: { x: NdArray; weight: NdArray; bias?: NdArray; initialState?: NdArray; cuSeqlens?: NdArray },
  { activation = 'none' }: { activation?: 'none' | 'silu' } = {},
  round: Round = float64,
): { o: Result; finalState: Result } {
  const [, , channels = 0] = x.shape;
  const taps = weight.shape[1]!;
  const rows = sequenceRows(x.shape, cuSeqlens);
  const o = zeros(x.shape);
  const finalState = zeros([rows.length, channels, taps - 1]);
  rows.forEach(({ batch, from, to }, n) => {
    for (let d = 0; d < channels; d++) {
      const input = (t: number) =>
        t >= 0 ? at(x, batch, from + t, d) : initialState ? at(initialState, n, d, taps - 1 + t) : 0;
      for (let t = 0; t < to - from; t++) {
        let sum = bias ? at(bias, d) : 0;
        for (let w = 0; w < taps; w++) sum = round(sum + round(at(weight, d, w) * input(t - taps + 1 + w)));
        o.data[(batch * x.shape[1]! + from + t) * channels + d] = activation === 'silu' ? silu(sum, round) : sum;
      }
      for (let r = 0; r < taps - 1; r++)
        finalState.data[(n * channels + d) * (taps - 1) + r] = input(to - from - taps + 1 + r);
    }
  });
  return { o, finalState };
}
