import { addSync, mulSync, type Tensor } from '../../src/index.ts';
import { convolve } from '../../src/lm/advance.ts';
import type { Weights } from '../weights.ts';

/** Mixes of each input with the one before it. */
export interface TokenShift {
  /** The input before the first: zeros [1, width, 1]. */
  empty(): Tensor;
  /** x_t + (x_{t-1} - x_t) share for each of the shares, [1, T, width]; `previous` becomes the last input. */
  mix(x: Tensor, previous: Tensor): Tensor[];
}

/** @param shares [width] each: how much of the previous input. */
export function tokenShift(weights: Weights, shares: readonly Tensor[], width: number): TokenShift {
  const { rt } = weights;
  // as a causal convolution: x_{t-1} - x_t
  const taps = Float32Array.from({ length: 2 * width }, (_, i) => (i % 2 === 0 ? 1 : -1));
  const difference = { weight: weights.own(rt.tensor(taps, [width, 2])) };
  return {
    empty: () => rt.zeros([1, width, 1]),
    mix(x, previous) {
      const change = convolve(x, previous, difference);
      return shares.map((share) => addSync({ a: x, b: mulSync({ a: change, b: share }).o }).o);
    },
  };
}

/** The shift of RWKV-4 and 5, whose weights `time_mix_` and a letter each say how much to take of the newest input. */
export function newestShift(weights: Weights, letters: string, width: number): TokenShift {
  const shares = Array.from(letters, (letter) => weights.tensor(`time_mix_${letter}`, [width], (mix) => 1 - mix));
  return tokenShift(weights, shares, width);
}
