import {
  attention,
  bigbird,
  blockwiseAttention,
  longformer,
  nystromAttention,
  patterns,
  spargeAttn,
  sparseVideoGen2,
  topKAttention,
  topPAttention,
} from '../../src/index.ts';
import { type Method, method } from './method.ts';
import { byBlocks, byClusters, byIndices, byPattern } from './visible.ts';

const returnSelection = true;

/** Bidirectional methods in settings for a hundred tokens. */
export function bidirectionalMethods(T: number): Method[] {
  return [
    method<{ window: number }>(
      'attention',
      async (inputs, { window }) => ({
        o: (await attention(inputs, { window: [window, window] })).o,
        seen: byPattern(patterns.window(window, window), T),
      }),
      [{ window: 4 }, { window: 16 }, { window: 32 }],
      [{ window: T }],
    ),
    method<{ blockSize: number }>(
      'blockwiseAttention',
      async (inputs, options) => ({
        o: (await blockwiseAttention(inputs, options)).o,
        seen: byPattern(patterns.blockwise(options), T),
      }),
      [{ blockSize: 8 }, { blockSize: 32 }, { blockSize: 64 }],
      [{ blockSize: T }],
    ),
    method<{ blockSize: number; randomBlocks: number }>(
      'bigbird',
      async (inputs, options) => ({
        o: (await bigbird(inputs, options)).o,
        seen: byPattern(patterns.bigbird(options), T),
      }),
      [0, 1, 3].map((randomBlocks) => ({ blockSize: 8, randomBlocks })),
      [{ blockSize: 8, randomBlocks: Math.ceil(T / 8) }],
    ),
    method<{ window: number; global: number }>(
      'longformer',
      async (inputs, { window, global }, rt) => {
        const tokens = Array.from({ length: global }, (_, t) => t);
        const globalMask = rt.tensor(new Uint8Array(T).fill(1, 0, global), [1, T], 'u8');
        return {
          o: (await longformer({ ...inputs, globalMask }, { window })).o,
          seen: byPattern(patterns.longformer({ window, global: tokens }), T),
        };
      },
      [4, 16, 32].map((window) => ({ window, global: 2 })),
      [
        { window: T, global: 0 },
        { window: 0, global: T },
      ],
    ),
    method<{ numLandmarks: number }>(
      'nystromAttention',
      async (inputs, options) => {
        const { numLandmarks: m } = options;
        const scores = m === T ? T * T : 2 * T * m + m * m;
        return { o: (await nystromAttention(inputs, options)).o, seen: scores / T ** 2 };
      },
      [{ numLandmarks: 8 }, { numLandmarks: 16 }, { numLandmarks: 32 }],
      [{ numLandmarks: T }],
    ),
    method<{ k: number }>(
      'topKAttention',
      async (inputs, options) => {
        const { o, indices } = await topKAttention(inputs, { ...options, returnSelection });
        return { o, seen: byIndices(indices!) };
      },
      [{ k: 4 }, { k: 16 }, { k: 32 }],
      [{ k: T }],
    ),
    method<{ p: number }>(
      'topPAttention',
      async (inputs, options) => {
        const { o, indices } = await topPAttention(inputs, { ...options, returnSelection });
        return { o, seen: byIndices(indices!) };
      },
      [{ p: 0.5 }, { p: 0.8 }, { p: 0.95 }],
      [{ p: 1 }],
    ),
    method<{ theta: number; cdf?: number; topK?: number }>(
      'spargeAttn',
      async (inputs, options) => {
        const { o, selection } = await spargeAttn(inputs, { ...options, returnSelection });
        return { o, seen: byBlocks(selection!, 128, 64, inputs.q.shape[2]!) };
      },
      [
        { theta: -1, cdf: 0.5 },
        { theta: 0.6, cdf: 0.98 },
      ],
      [{ theta: -1, topK: 1 }],
    ),
    method<{ qClusters: number; kClusters: number; topP: number; minRatio?: number }>(
      'sparseVideoGen2',
      async (inputs, options) => {
        const { o, selection, qLabels, kLabels } = await sparseVideoGen2(inputs, { ...options, returnSelection });
        return { o, seen: byClusters(selection!, qLabels!, kLabels!) };
      },
      [0.5, 0.8, 0.95].map((topP) => ({ qClusters: 8, kClusters: 16, topP })),
      [{ qClusters: 8, kClusters: 16, topP: 1, minRatio: 1 }],
    ),
  ];
}
