/**
 * Gated DeltaNet (Yang 2024): the gated delta rule behind a short convolution.
 *
 * @module
 */
import { gatedDeltaRuleStep, gatedDeltaRuleSync } from '../../ops/delta-rule.ts';
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { sigmoidSync, softplusSync } from '../../ops/features.ts';
import { advance, convolve } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { gatedOut, threeHeads } from './gated-out.ts';

const OPTIONS = { useQkL2norm: true };

export function gatedDeltaNet(weights: ModelWeights, config: MixerConfig): Mixer {
  const { rt } = weights;
  const { dim, heads, headDim, conv } = config;
  const inner = heads * headDim;
  const [qkvOf, zOf, aOf, bOf] = weights.linears('proj.weight', [3 * inner, inner, heads, heads], dim);
  const filter = { weight: weights.tensor('conv', [3 * inner, conv]) };
  const rate = weights.tensor('A_log', [heads], (x) => -Math.exp(x));
  const bias = weights.tensor('dt_bias', [heads]);
  const out = gatedOut(weights, config);
  return {
    open: () => new Tensors(rt, { inputs: [1, 3 * inner, conv - 1], state: [1, heads, headDim, headDim] }),
    apply(x, opened) {
      const { inputs, state } = (opened as Tensors<'inputs' | 'state'>).named;
      const [q, k, v] = threeHeads(convolve(qkvOf(x), inputs, filter, 'silu'), config);
      const step = softplusSync(addSync({ a: aOf(x), b: bias }).o).o;
      const { o: g } = mulSync({ a: step, b: rate });
      const { o: beta } = sigmoidSync(bOf(x));
      const o = advance(
        { q, k, v, g, beta },
        { state },
        (token) => gatedDeltaRuleStep({ ...token, state }, OPTIONS),
        (tokens) => {
          const { o, finalState } = gatedDeltaRuleSync({ ...tokens, initialState: state }, OPTIONS);
          return { o, state: finalState };
        },
      );
      return out(o, zOf(x, 'silu'));
    },
  };
}
