import { features, matmulSync, mulSync, type Tensor } from '../../src/index.ts';
import type { Weights } from '../weights.ts';
import type { Part } from './memory.ts';
import { newestShift, tokenShift } from './token-shift.ts';

/** The channel mixing of RWKV-4 and 5: sigmoid(W_r x_r) W_v relu(W_k x_k)^2. */
export function channelMix(weights: Weights, width: number): Part<Readonly<Record<'previous', Tensor>>> {
  const [hidden] = weights.shape('key.weight') as [number];
  const shift = newestShift(weights, 'rk', width);
  const receptance = weights.matrix('receptance.weight', [width, width]);
  const key = weights.matrix('key.weight', [hidden, width]);
  const value = weights.matrix('value.weight', [width, hidden]);
  return {
    empty: () => ({ previous: shift.empty() }),
    apply(x, { previous }) {
      const [xr, xk] = shift.mix(x, previous) as [Tensor, Tensor];
      const { o: r } = features.sigmoidSync(matmulSync({ a: xr, b: receptance }).o);
      const { o: k } = features.squaredReluSync(matmulSync({ a: xk, b: key }).o);
      return mulSync({ a: r, b: matmulSync({ a: k, b: value }).o }).o;
    },
  };
}

/** The channel mixing of RWKV-7: W_v relu(W_k x_k)^2. */
export function channelMix7(weights: Weights, width: number): Part<Readonly<Record<'previous', Tensor>>> {
  const [hidden] = weights.shape('key.weight') as [number];
  const shift = tokenShift(weights, [weights.tensor('x_k', [1, 1, width]).reshape([width])], width);
  const key = weights.matrix('key.weight', [hidden, width]);
  const value = weights.matrix('value.weight', [width, hidden]);
  return {
    empty: () => ({ previous: shift.empty() }),
    apply(x, { previous }) {
      const [xk] = shift.mix(x, previous) as [Tensor];
      const { o: k } = features.squaredReluSync(matmulSync({ a: xk, b: key }).o);
      return matmulSync({ a: k, b: value }).o;
    },
  };
}
