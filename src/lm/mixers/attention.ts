/**
 * Softmax attention with grouped key/value heads, and what sees less than all keys: windows with sinks, MoBA.
 *
 * @module
 */
import { mobaSync } from '../../ops/moba.ts';
import { ropeSync } from '../../ops/rope.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { type AttentionLayer, type AttentionSizes, cacheLayer, rowsLayer } from '../attention-layer.ts';
import type { MixerConfig } from '../config.ts';
import type { Mixer, MixerState } from '../mixer.ts';
import type { ModelWeights } from '../weights.ts';

type OpenLayer = (rt: Runtime, sizes: AttentionSizes, config: MixerConfig) => AttentionLayer;

/** All keys before a query, as they are. */
const allKeys: OpenLayer = (rt, sizes) => cacheLayer(rt, sizes);

/** The first keys and the last ones: rows that are never let go of, so that a sequence may be fed in any parts. */
const sinksAndWindow: OpenLayer = (rt, sizes, { sinks, window }) =>
  cacheLayer(rt, sizes, { policy: { kind: 'streaming', sinks, window } });

/** The own chunk of keys, and the earlier ones whose mean key fits best. */
const chunks: OpenLayer = (rt, sizes, { chunk, topk }) =>
  rowsLayer(rt, sizes, (q, k, v) => mobaSync({ q, k, v }, { chunkSize: chunk, topk }).o);

function attentionOf(open: OpenLayer) {
  return (weights: ModelWeights, config: MixerConfig): Mixer => {
    const { rt } = weights;
    const { dim, heads, headDim, kvHeads, rope, ropeBase } = config;
    const inner = heads * headDim;
    const rows = heads + 2 * kvHeads;
    const project = weights.linear('proj.weight', [rows * headDim, dim]);
    const out = weights.linear('out.weight', [dim, inner]);
    return {
      attends: true,
      open({ capacity, attention }): MixerState {
        return attention ?? open(rt, { kvHeads, headDim, capacity }, config);
      },
      apply(x, state, start) {
        const length = x.shape[1]!;
        const qkv = project(x).reshape([1, length, rows, headDim]);
        let qk = qkv.slice(2, 0, heads + kvHeads);
        if (rope) ({ o: qk } = ropeSync({ x: qk }, { offset: start, base: ropeBase }));
        const [q, k, v] = [
          qk.slice(2, 0, heads),
          qk.slice(2, heads, heads + kvHeads),
          qkv.slice(2, heads + kvHeads, rows),
        ];
        const o = (state as AttentionLayer).extend(q, k, v);
        return out(o.reshape([1, length, inner]));
      },
    };
  };
}

export const attention = attentionOf(allKeys);
export const window = attentionOf(sinksAndWindow);
export const moba = attentionOf(chunks);
