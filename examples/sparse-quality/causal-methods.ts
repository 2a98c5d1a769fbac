import {
  attention,
  type FlexPrefillOptions,
  fixedAttention,
  flexPrefill,
  logsparseAttention,
  longformer,
  type MinferencePlan,
  minference,
  moba,
  nsa,
  patterns,
  type SampleAttentionOptions,
  sampleAttention,
  spargeAttn,
  streamingLlm,
  stridedAttention,
  topKAttention,
  topPAttention,
  xAttention,
} from '../../src/index.ts';
import { type Method, method } from './method.ts';
import { byBlocks, byIndices, byPattern, byWindow, either } from './visible.ts';

const causal = true;
const returnSelection = true;

/** Keys that all queries of `longformer` see. */
const globalTokens = [0, 1, 2, 3];

/** Causal methods in settings for some hundred tokens. */
export function causalMethods(T: number): Method[] {
  return [
    method<{ window: number }>(
      'attention',
      async (inputs, { window }) => ({
        o: (await attention(inputs, { causal, window: [window - 1, 0] })).o,
        seen: byWindow(window),
      }),
      [{ window: 16 }, { window: 64 }, { window: 128 }],
      [{ window: T }],
    ),
    method<{ sinks: number; window: number }>(
      'streamingLlm',
      async (inputs, options) => ({
        o: (await streamingLlm(inputs, options)).o,
        seen: byPattern(patterns.streamingLlm(options), T),
      }),
      [16, 64, 128].map((window) => ({ sinks: 4, window })),
      [{ sinks: 4, window: T }],
    ),
    method<{ stride: number }>(
      'stridedAttention',
      async (inputs, { stride }) => ({
        o: (await stridedAttention(inputs, { stride, causal })).o,
        seen: byPattern(patterns.strided({ stride, causal }), T),
      }),
      [{ stride: 8 }, { stride: 16 }, { stride: 64 }],
      [{ stride: T }],
    ),
    method<{ stride: number; summary: number }>(
      'fixedAttention',
      async (inputs, options) => ({
        o: (await fixedAttention(inputs, { ...options, causal })).o,
        seen: byPattern(patterns.fixed({ ...options, causal }), T),
      }),
      [
        { stride: 16, summary: 1 },
        { stride: 16, summary: 4 },
        { stride: 64, summary: 8 },
      ],
      [
        { stride: T, summary: 0 },
        { stride: 16, summary: 16 },
      ],
    ),
    method<{ window: number }>(
      'logsparseAttention',
      async (inputs, options) => ({
        o: (await logsparseAttention(inputs, { ...options, causal })).o,
        seen: byPattern(patterns.logsparse({ ...options, causal }), T),
      }),
      [{ window: 1 }, { window: 16 }, { window: 64 }],
      [{ window: T }],
    ),
    method<{ window: number; global: number }>(
      'longformer',
      async (inputs, { window, global }, rt) => {
        const tokens = globalTokens.slice(0, global);
        const globalMask = rt.tensor(
          Uint8Array.from({ length: T }, (_, t) => (tokens.includes(t) ? 1 : 0)),
          [1, T],
          'u8',
        );
        return {
          o: (await longformer({ ...inputs, globalMask }, { window, causal })).o,
          seen: byPattern(patterns.longformer({ window, global: tokens, causal }), T),
        };
      },
      [15, 63, 127].map((window) => ({ window, global: globalTokens.length })),
      [{ window: T, global: 0 }],
    ),
    method<{ k: number }>(
      'topKAttention',
      async (inputs, options) => {
        const { o, indices } = await topKAttention(inputs, { ...options, causal, returnSelection });
        return { o, seen: byIndices(indices!) };
      },
      [{ k: 8 }, { k: 32 }, { k: 64 }],
      [{ k: T }],
    ),
    method<{ p: number }>(
      'topPAttention',
      async (inputs, options) => {
        const { o, indices } = await topPAttention(inputs, { ...options, causal, returnSelection });
        return { o, seen: byIndices(indices!) };
      },
      [{ p: 0.5 }, { p: 0.8 }, { p: 0.95 }],
      [{ p: 1 }],
    ),
    method<{ chunkSize: number; topk: number }>(
      'moba',
      async (inputs, options) => {
        const { o, selection } = await moba(inputs, { ...options, returnSelection });
        return { o, seen: byBlocks(selection!, 1, options.chunkSize, inputs.q.shape[2]!) };
      },
      [2, 4, 8].map((topk) => ({ chunkSize: 16, topk })),
      [{ chunkSize: 16, topk: Math.ceil(T / 16) }],
    ),
    method<{ blockSize: number; blockCounts: number }>(
      'nsa',
      async (inputs, options, rt) => {
        const heads = inputs.q.shape[2]!;
        const gSlc = rt.tensor(new Float32Array(T * heads).fill(1), [1, T, heads]);
        const { o, selection } = await nsa({ ...inputs, gSlc }, { ...options, returnSelection });
        return { o, seen: byBlocks(selection!, 1, options.blockSize, heads) };
      },
      [3, 5, 8].map((blockCounts) => ({ blockSize: 16, blockCounts })),
      [{ blockSize: 16, blockCounts: Math.ceil(T / 16) }],
    ),
    method<{ stride: number; block: number; threshold: number }>(
      'xAttention',
      async (inputs, options) => {
        const { o, selection } = await xAttention(inputs, { ...options, returnSelection });
        return { o, seen: byBlocks(selection!, options.block, options.block, inputs.q.shape[2]!) };
      },
      [0.5, 0.8, 0.95].map((threshold) => ({ stride: 4, block: 16, threshold })),
      [{ stride: 4, block: 16, threshold: 1 }],
    ),
    method<{ theta: number; cdf?: number; topK?: number }>(
      'spargeAttn',
      async (inputs, options) => {
        const { o, selection } = await spargeAttn(inputs, { ...options, causal, returnSelection });
        return { o, seen: byBlocks(selection!, 128, 64, inputs.q.shape[2]!) };
      },
      [
        { theta: -1, cdf: 0.5 },
        { theta: -1, cdf: 0.9 },
        { theta: 0.6, cdf: 0.98 },
      ],
      [{ theta: -1, topK: 1 }],
    ),
    method<MinferencePlan>(
      'minference',
      async (inputs, plan) => {
        const { o, selection, columns } = await minference(inputs, { plan, returnSelection });
        const chosen = either(byBlocks(selection!, 64, 64, inputs.q.shape[2]!), byIndices(columns!));
        return { o, seen: plan.pattern === 'aShape' ? either(chosen, byWindow(plan.window)) : chosen };
      },
      [
        { pattern: 'aShape', sink: 8, window: 64 },
        { pattern: 'blockSparse', topK: 2 },
        { pattern: 'verticalSlash', vertical: 30, slash: 50 },
        { pattern: 'verticalSlash', vertical: 100, slash: 100 },
      ],
      [
        { pattern: 'aShape', sink: 8, window: T },
        { pattern: 'blockSparse', topK: T },
        { pattern: 'verticalSlash', vertical: 30, slash: T },
      ],
    ),
    method<FlexPrefillOptions>(
      'flexPrefill',
      async (inputs, options) => {
        const { o, selection } = await flexPrefill(inputs, { ...options, returnSelection });
        return { o, seen: byBlocks(selection!, options.block!, options.block!, inputs.q.shape[2]!) };
      },
      [0.5, 0.8, 0.95].map((gamma) => ({ block: 16, gamma })),
      [{ block: 16, tau: 0, minBudget: T }],
    ),
    method<SampleAttentionOptions>(
      'sampleAttention',
      async (inputs, options) => {
        const { o, selection } = await sampleAttention(inputs, { ...options, returnSelection });
        const width = Math.max(1, Math.ceil(options.window! * T));
        return { o, seen: either(byBlocks(selection!, T, 1, inputs.q.shape[2]!), byWindow(width)) };
      },
      [0.5, 0.8, 0.95].map((coverage) => ({ window: 0.08, sample: 0.05, coverage })),
      [{ window: 1, sample: 0.05, coverage: 0.5 }],
    ),
  ];
}
