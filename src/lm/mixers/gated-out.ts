/**
 * The way out of most mixers: each head normalised, gated, projected.
 *
 * @module
 */
import { mulSync } from '../../ops/elementwise.ts';
import { rmsNormSync } from '../../ops/norm.ts';
import type { Tensor } from '../../tensor.ts';
import type { MixerConfig } from '../config.ts';
import type { ModelWeights } from '../weights.ts';

/** (rmsNorm(o of each head) weight) gate, through the projection: o [1, T, H, D], gate [1, T, H D] to [1, T, dim]. */
export function gatedOut(
  weights: ModelWeights,
  { dim, heads, headDim }: MixerConfig,
): (o: Tensor, gate: Tensor) => Tensor {
  const weight = weights.tensor('norm', [headDim]);
  const out = weights.linear('out.weight', [dim, heads * headDim]);
  return (o, gate) => {
    const { o: normed } = rmsNormSync({ x: o, weight });
    return out(mulSync({ a: normed.reshape(gate.shape), b: gate }).o);
  };
}

/** Heads of queries, keys and values that lie one behind another: [1, T, 3 H D] to three of [1, T, H, D]. */
export function threeHeads(x: Tensor, { heads, headDim }: MixerConfig): [q: Tensor, k: Tensor, v: Tensor] {
  const split = x.reshape([1, x.shape[1]!, 3 * heads, headDim]);
  return [split.slice(2, 0, heads), split.slice(2, heads, 2 * heads), split.slice(2, 2 * heads, 3 * heads)];
}
