/**
 * Gated DeltaNet (Yang 2024): the gated delta rule behind a short convolution.
 *
 * @module
 */
import { gatedDeltaRuleStep, gatedDeltaRuleSync } from '../../ops/delta-rule.ts';
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { sigmoidSync, softplusSync } from '../../ops/features.ts';
import type { MixerConfig } from '../config.ts';
import type { Mixer } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { convolvedDelta } from './convolved-delta.ts';
import { gatedOut } from './gated-out.ts';

export function gatedDeltaNet(weights: ModelWeights, config: MixerConfig): Mixer {
  const { dim, heads, headDim } = config;
  const inner = heads * headDim;
  const [qkvOf, zOf, aOf, bOf] = weights.linears('proj.weight', [3 * inner, inner, heads, heads], dim);
  const rule = convolvedDelta(weights, config, { step: gatedDeltaRuleStep, sequence: gatedDeltaRuleSync });
  const rate = weights.tensor('A_log', [heads], (x) => -Math.exp(x));
  const bias = weights.tensor('dt_bias', [heads]);
  const out = gatedOut(weights, config);
  return {
    open: rule.open,
    apply(x, state) {
      const { o: time } = softplusSync(addSync({ a: aOf(x), b: bias }).o);
      const { o: g } = mulSync({ a: time, b: rate });
      const { o: beta } = sigmoidSync(bOf(x));
      return out(rule.mix(qkvOf(x), { g, beta }, state), zOf(x, 'silu'));
    },
  };
}
