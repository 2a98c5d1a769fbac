/**
 * Mamba-2 (Dao 2024): state-space duality behind a short convolution.
 *
 * @module
 */
import { mulSync } from '../../ops/elementwise.ts';
import { rmsNormSync } from '../../ops/norm.ts';
import { ssdStep, ssdSync } from '../../ops/ssd.ts';
import { advance, convolve } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';

const OPTIONS = { dtSoftplus: true };

export function mamba2(weights: ModelWeights, config: MixerConfig): Mixer {
  const { rt } = weights;
  const { dim, heads, headDim, conv, groups, states } = config;
  const inner = heads * headDim;
  const side = groups * states;
  const width = inner + 2 * side;
  const [zOf, xBCOf, dtOf] = weights.linears('proj.weight', [inner, width, heads], dim);
  const filter = { weight: weights.tensor('conv', [width, conv]), bias: weights.tensor('conv_bias', [width]) };
  const constants = {
    A: weights.tensor('A_log', [heads], (x) => -Math.exp(x)),
    D: weights.tensor('D', [heads]),
    dtBias: weights.tensor('dt_bias', [heads]),
  };
  const weight = weights.tensor('norm', [inner]);
  const out = weights.linear('out.weight', [dim, inner]);
  return {
    open: () => new Tensors(rt, { inputs: [1, width, conv - 1], state: [1, heads, headDim, states] }),
    apply(input, opened) {
      const { inputs, state } = (opened as Tensors<'inputs' | 'state'>).named;
      const length = input.shape[1]!;
      const xBC = convolve(xBCOf(input), inputs, filter, 'silu');
      // rows of a slice of the last axis lie apart: as heads they are strides
      const heads4 = (from: number, count: number, size: number) =>
        xBC.slice(2, from, from + count * size).restride([1, length, count, size], [length * width, width, size, 1]);
      const o = advance(
        {
          x: heads4(0, heads, headDim),
          dt: dtOf(input),
          B: heads4(inner, groups, states),
          C: heads4(inner + side, groups, states),
        },
        { state },
        (token) => ssdStep({ ...token, ...constants, state }, OPTIONS),
        (tokens) => {
          const { o, finalState } = ssdSync({ ...tokens, ...constants, initialState: state }, OPTIONS);
          return { o, state: finalState };
        },
      );
      const { o: gated } = mulSync({ a: o.reshape([1, length, inner]), b: zOf(input, 'silu') });
      return out(rmsNormSync({ x: gated, weight }).o);
    },
  };
}
