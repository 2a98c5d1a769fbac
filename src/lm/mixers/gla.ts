/**
 * Gated linear attention (Yang 2023): a decay for every row of the state.
 *
 * @module
 */
import { addSync, mulSync } from '../../ops/elementwise.ts';
import { logSigmoidSync } from '../../ops/features.ts';
import { glaStep, glaSync } from '../../ops/gla.ts';
import { advance } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { gatedOut, threeHeads } from './gated-out.ts';

/** Log decays are a sixteenth of what a sigmoid gives. */
const SHARE = 1 / 16;

export function gla(weights: ModelWeights, config: MixerConfig): Mixer {
  const { rt } = weights;
  const { dim, heads, headDim, rank } = config;
  const inner = heads * headDim;
  const [qkvOf, zOf, fOf] = weights.linears('proj.weight', [3 * inner, inner, rank], dim);
  const decay = weights.linear('decay.weight', [inner, rank]);
  const bias = weights.tensor('decay_bias', [inner]);
  const share = weights.constant(new Float32Array(inner).fill(SHARE), [inner]);
  const out = gatedOut(weights, config);
  return {
    open: () => new Tensors(rt, { state: [1, heads, headDim, headDim] }),
    apply(x, opened) {
      const { state } = (opened as Tensors<'state'>).named;
      const [q, k, v] = threeHeads(qkvOf(x), config);
      const { o: log } = logSigmoidSync(addSync({ a: decay(fOf(x)), b: bias }).o);
      const gk = mulSync({ a: log, b: share }).o.reshape(q.shape);
      const o = advance(
        { q, k, v, gk },
        { state },
        (token) => glaStep({ ...token, state }),
        (tokens) => {
          const { o, finalState } = glaSync({ ...tokens, initialState: state });
          return { o, state: finalState };
        },
      );
      return out(o, zOf(x, 'silu'));
    },
  };
}
