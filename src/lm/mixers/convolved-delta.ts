/**
 * Queries, keys and values behind a short convolution, and a delta rule over them.
 *
 * @module
 */
import type { Tensor } from '../../tensor.ts';
import { advance, convolve } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type MixerState, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { threeHeads } from './gated-out.ts';

type Operands = Readonly<Record<'q' | 'k' | 'v' | 'g' | 'beta', Tensor>>;

/** A delta rule in both forms. */
interface DeltaRule {
  step(inputs: Operands & { readonly state: Tensor }, options: { useQkL2norm: true }): { readonly o: Tensor };
  sequence(
    inputs: Operands & { readonly initialState: Tensor },
    options: { useQkL2norm: true },
  ): { readonly o: Tensor; readonly finalState: Tensor };
}

const OPTIONS = { useQkL2norm: true } as const;

/** o [1, T, H, D] of projected rows [1, T, 3 H D] and of gates: g as the rule takes it, beta [1, T, H]. */
export function convolvedDelta(weights: ModelWeights, config: MixerConfig, { step, sequence }: DeltaRule) {
  const { heads, headDim, conv } = config;
  const width = 3 * heads * headDim;
  const filter = { weight: weights.tensor('conv', [width, conv]) };
  return {
    open: () => new Tensors(weights.rt, { inputs: [1, width, conv - 1], state: [1, heads, headDim, headDim] }),
    mix(qkv: Tensor, { g, beta }: Pick<Operands, 'g' | 'beta'>, opened: MixerState): Tensor {
      const { inputs, state } = (opened as Tensors<'inputs' | 'state'>).named;
      const [q, k, v] = threeHeads(convolve(qkv, inputs, filter, 'silu'), config);
      return advance(
        { q, k, v, g, beta },
        { state },
        (token) => step({ ...token, state }, OPTIONS),
        (tokens) => {
          const { o, finalState } = sequence({ ...tokens, initialState: state }, OPTIONS);
          return { o, state: finalState };
        },
      );
    },
  };
}
