/**
 * RWKV-7's time mixing (Goose, Peng 2025), values of the first layer left out.
 *
 * @module
 */
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { l2normSync, sigmoidSync, tanhSync } from '../../ops/features.ts';
import { layerNormSync } from '../../ops/norm.ts';
import { rwkv7Step, rwkv7Sync } from '../../ops/rwkv7.ts';
import type { Tensor } from '../../tensor.ts';
import { advance, convolve } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';

/** The slowest decay is e^-e^(-1/2). */
const SLOWEST = -0.606531;

const add = (a: Tensor, b: Tensor) => addSync({ a, b }).o;
const mul = (a: Tensor, b: Tensor) => mulSync({ a, b }).o;

export function rwkv7(weights: ModelWeights, { dim, heads, headDim }: MixerConfig): Mixer {
  const { rt } = weights;
  const inner = heads * headDim;
  const shares = weights.tensor('mix', [6, dim]);
  const mixes = [0, 1, 2, 3, 4, 5].map((i) => shares.slice(0, i, i + 1).reshape([dim]));
  // as a causal convolution: x_{t-1} - x_t
  const taps = Float32Array.from({ length: 2 * dim }, (_, i) => (i % 2 === 0 ? 1 : -1));
  const difference = { weight: weights.constant(taps, [dim, 2]) };
  const square = (name: string) => weights.linear(`${name}.weight`, [inner, dim]);
  /** W_2 f(W_1 x), through a few channels. */
  const throughFew = (name: string, f: (x: Tensor) => Tensor) => {
    const [width] = weights.shape(`${name}1.weight`) as [number];
    const first = weights.linear(`${name}1.weight`, [width, dim]);
    const second = weights.linear(`${name}2.weight`, [inner, width]);
    return (x: Tensor) => second(f(first(x)));
  };
  const [receptance, key, value] = [square('receptance'), square('key'), square('value')];
  const decay = throughFew('w', (x) => tanhSync(x).o);
  const removal = throughFew('a', (x) => x);
  const gate = throughFew('g', (x) => sigmoidSync(x).o);
  const channels = (name: string, map?: (x: number) => number) => weights.tensor(name, [inner], map);
  const [w0, a0, removedKey] = [channels('w0'), channels('a0'), channels('k_k')];
  const [writtenKey, keptKey] = [channels('k_a'), channels('k_a', (x) => 1 - x)];
  const bonus = weights.tensor('r_k', [heads, headDim]).reshape([inner]);
  // a product with it is each head's sum, once for each of its channels
  const sums = weights.ones(headDim);
  const slowest = weights.constant(new Float32Array(inner).fill(SLOWEST), [inner]);
  const [scale, bias] = [channels('norm'), channels('norm_bias')];
  const out = weights.linear('out.weight', [dim, inner]);

  return {
    open: () => new Tensors(rt, { previous: [1, dim, 1], state: [1, heads, headDim, headDim] }),
    apply(x, opened) {
      const { previous, state } = (opened as Tensors<'previous' | 'state'>).named;
      const split = (rows: Tensor) => rows.reshape([1, x.shape[1]!, heads, headDim]);
      const joined = (rows: Tensor) => rows.reshape([1, x.shape[1]!, inner]);
      const change = convolve(x, previous, difference);
      const [xr, xw, xk, xv, xa, xg] = mixes.map((share) => add(x, mul(change, share))) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const [r, projected, v] = [receptance(xr), key(xk), value(xv)];
      const w = mul(sigmoidSync(add(decay(xw), w0)).o, slowest);
      const { o: a } = sigmoidSync(add(removal(xa), a0));
      const { o: kk } = l2normSync(split(mul(projected, removedKey)));
      const k = mul(projected, add(mul(a, writtenKey), keptKey));
      const o = advance(
        { r: split(r), w: split(w), k: split(k), v: split(v), kk, a: split(a) },
        { state },
        (token) => rwkv7Step({ ...token, state }),
        (tokens) => {
          const { o, finalState } = rwkv7Sync({ ...tokens, initialState: state });
          return { o, state: finalState };
        },
      );
      const normed = joined(layerNormSync({ x: o }, { eps: 64e-5 }).o);
      const strength = joined(sums(split(mul(mul(r, k), bonus))));
      const mixed = add(add(mul(normed, scale), bias), mul(strength, v));
      return out(mul(mixed, gate(xg)));
    },
  };
}
