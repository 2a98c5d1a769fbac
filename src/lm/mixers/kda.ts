/**
 * Kimi Delta Attention (Kimi Linear, 2025) with the bounded form of its gate.
 *
 * @module
 */
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { sigmoidSync } from '../../ops/features.ts';
import { kdaStep, kdaSync } from '../../ops/kda.ts';
import type { MixerConfig } from '../config.ts';
import type { Mixer } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { convolvedDelta } from './convolved-delta.ts';
import { gatedOut } from './gated-out.ts';

/** The strongest decay, as a logarithm. */
const LOWEST = -5;

export function kda(weights: ModelWeights, config: MixerConfig): Mixer {
  const { dim, heads, headDim, rank } = config;
  const inner = heads * headDim;
  const [qkvOf, fOf, zOf, bOf] = weights.linears('proj.weight', [3 * inner, rank, rank, heads], dim);
  const decay = weights.linear('decay.weight', [inner, rank]);
  const gate = weights.linear('gate.weight', [inner, rank]);
  const rule = convolvedDelta(weights, config, { step: kdaStep, sequence: kdaSync });
  const rates = weights.values('A_log', [heads]);
  const rate = weights.constant(
    Float32Array.from({ length: inner }, (_, i) => Math.exp(rates[Math.floor(i / headDim)]!)),
    [inner],
  );
  const bias = weights.tensor('dt_bias', [inner]);
  const lowest = weights.constant(new Float32Array(inner).fill(LOWEST), [inner]);
  const out = gatedOut(weights, config);
  return {
    open: rule.open,
    apply(x, state) {
      const { o: f } = mulSync({ a: addSync({ a: decay(fOf(x)), b: bias }).o, b: rate });
      const g = mulSync({ a: sigmoidSync(f).o, b: lowest }).o.reshape([1, x.shape[1]!, heads, headDim]);
      const { o: beta } = sigmoidSync(bOf(x));
      return out(rule.mix(qkvOf(x), { g, beta }, state), sigmoidSync(gate(zOf(x))).o);
    },
  };
}
