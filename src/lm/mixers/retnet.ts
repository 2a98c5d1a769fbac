/**
 * Retention (Sun 2023): a decay of its own for each head.
 *
 * @module
 */
import { retentionStep, retentionSync } from '../../ops/retention.ts';
import { ropeSync } from '../../ops/rope.ts';
import { advance } from '../advance.ts';
import type { MixerConfig } from '../config.ts';
import { type Mixer, Tensors } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';
import { gatedOut } from './gated-out.ts';

export function retnet(weights: ModelWeights, config: MixerConfig): Mixer {
  const { rt } = weights;
  const { dim, heads, headDim, ropeBase } = config;
  const inner = heads * headDim;
  const [qkOf, vOf, zOf] = weights.linears('proj.weight', [2 * inner, inner, inner], dim);
  const out = gatedOut(weights, config);
  return {
    open: () => new Tensors(rt, { state: [1, heads, headDim, headDim] }),
    apply(x, opened, start) {
      const { state } = (opened as Tensors<'state'>).named;
      const length = x.shape[1]!;
      const unturned = qkOf(x).reshape([1, length, 2 * heads, headDim]);
      const { o: qk } = ropeSync({ x: unturned }, { offset: start, base: ropeBase });
      const v = vOf(x).reshape([1, length, heads, headDim]);
      const o = advance(
        { q: qk.slice(2, 0, heads), k: qk.slice(2, heads, 2 * heads), v },
        { state },
        (token) => retentionStep({ ...token, state }),
        (tokens) => {
          const { o, finalState } = retentionSync({ ...tokens, initialState: state });
          return { o, state: finalState };
        },
      );
      return out(o, zOf(x, 'silu'));
    },
  };
}
