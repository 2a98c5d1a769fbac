/**
 * Kimi Delta Attention (Kimi Linear, 2025) with the bounded form of its gate.
 *
 * @module
 */
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { sigmoidSync } from '../../ops/features.ts';
import { kdaStep, kdaSync } from '../../ops/kda.ts';
import { advance, convolve } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { gatedOut, threeHeads } from './gated-out.ts';

const OPTIONS = { useQkL2norm: true };
/** The strongest decay, as a logarithm. */
const LOWEST = -5;

export function kda(weights: ModelWeights, config: MixerConfig): Mixer {
  const { rt } = weights;
  const { dim, heads, headDim, conv, rank } = config;
  const inner = heads * headDim;
  const [qkvOf, fOf, zOf, bOf] = weights.linears('proj.weight', [3 * inner, rank, rank, heads], dim);
  const decay = weights.linear('decay.weight', [inner, rank]);
  const gate = weights.linear('gate.weight', [inner, rank]);
  const filter = { weight: weights.tensor('conv', [3 * inner, conv]) };
  const rates = weights.values('A_log', [heads]);
  const rate = weights.constant(
    Float32Array.from({ length: inner }, (_, i) => Math.exp(rates[Math.floor(i / headDim)]!)),
    [inner],
  );
  const bias = weights.tensor('dt_bias', [inner]);
  const lowest = weights.constant(new Float32Array(inner).fill(LOWEST), [inner]);
  const out = gatedOut(weights, config);
  return {
    open: () => new Tensors(rt, { inputs: [1, 3 * inner, conv - 1], state: [1, heads, headDim, headDim] }),
    apply(x, opened) {
      const { inputs, state } = (opened as Tensors<'inputs' | 'state'>).named;
      const [q, k, v] = threeHeads(convolve(qkvOf(x), inputs, filter, 'silu'), config);
      const { o: f } = mulSync({ a: addSync({ a: decay(fOf(x)), b: bias }).o, b: rate });
      const g = mulSync({ a: sigmoidSync(f).o, b: lowest }).o.reshape(q.shape);
      const { o: beta } = sigmoidSync(bOf(x));
      const o = advance(
        { q, k, v, g, beta },
        { state },
        (token) => kdaStep({ ...token, state }, OPTIONS),
        (tokens) => {
          const { o, finalState } = kdaSync({ ...tokens, initialState: state }, OPTIONS);
          return { o, state: finalState };
        },
      );
      return out(o, sigmoidSync(gate(zOf(x))).o);
    },
  };
}
