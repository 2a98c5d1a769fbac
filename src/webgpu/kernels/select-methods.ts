/**
 * What single methods choose by: blocks that are alike, diagonals, channels, hashes, lists of keys, clusters.
 *
 * @module
 */
import {
  CentreParams,
  CentroidAverageParams,
  ChannelScoreParams,
  ClusterMapParams,
  CollisionParams,
  DiagonalSumsParams,
  DissimilarParams,
  FarTokensParams,
  GatheredBitsParams,
  HammingParams,
  HeavyChannelParams,
  Int4KeyParams,
  Int4ScoreParams,
  LabelTokensParams,
  ListScoreParams,
  MinMaxParams,
  OutwardParams,
  PickParams,
  PrincipalParams,
  QueryAwareParams,
  RepresentativesParams,
  SamplingBiasParams,
  SelfSimilarityParams,
  SlashBlocksParams,
  SparqBlendParams,
  SparqQueryParams,
  StripeBlocksParams,
  TailFitParams,
  TakeChannelParams,
} from '../../generated/gpu-params.ts';
import type { ShaderName } from '../../generated/shaders.ts';
import { gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { FLOAT_BYTES, lanesFor, THREADS, wordLanes } from './select-tiles.ts';

/** Entries of a workgroup, channels of one that adds up rows, columns of one that scores by channels. */
const ENTRIES = 32;
const CHANNELS = 16;
const COLUMNS = 256;
/** Most numbers that a workgroup ranks in its own memory. */
const MOST_RANKED = 1024;

/** A pass of one thread for each of `elements`. */
function elementwise(shader: ShaderName, elements: number, extra: Record<string, number> = {}): Pass[] {
  return [{ shader, groups: groupsOf(elements, THREADS), extra: { ...extra, elements } }];
}

export const selectMethods = {
  addLogCounts: gpuKernel(ClusterMapParams, (p, { items }) =>
    elementwise('add-log-counts', items * p.rows * p.columns),
  ),
  spreadLabels: gpuKernel(ClusterMapParams, (p, { items }) => elementwise('spread-labels', items * p.length)),
  centroidAverage: gpuKernel(CentroidAverageParams, (p, { items }) => {
    const LANES = lanesFor(p.d);
    const groups = groupsOf(items, THREADS / LANES);
    return [{ shader: 'centroid-average', groups, constants: { LANES }, extra: { centroidCount: items } }];
  }),
  diagonalSums: gpuKernel(DiagonalSumsParams, (p, { items }) => elementwise('diagonal-sums', items * p.count)),
  hideDissimilar: gpuKernel(DissimilarParams, (p, { items }) => elementwise('hide-dissimilar', items * p.columns)),
  showDissimilar: gpuKernel(DissimilarParams, (p, { items }) => elementwise('show-dissimilar', items * p.words)),
  gatheredBits: gpuKernel(GatheredBitsParams, (p, { items }) => {
    const words = Math.ceil(p.n / 32);
    return [
      ...elementwise('gathered-bits', items * words, { words }),
      ...elementwise('gathered-places', (items / p.rows) * p.n),
    ];
  }),
  minMaxGates: gpuKernel(MinMaxParams, (p, { items }) => {
    const LANES = lanesFor(p.columns);
    const groups = groupsOf(items, THREADS / LANES);
    return [{ shader: 'min-max-gates', groups, constants: { LANES }, extra: { rowCount: items } }];
  }),
  queryAware: gpuKernel(QueryAwareParams, (p, { items }) => {
    const LANES = lanesFor(p.columns);
    const groups = groupsOf(items, THREADS / LANES);
    return [{ shader: 'query-aware', groups, constants: { LANES }, extra: { lines: items } }];
  }),
  selfSimilarity: gpuKernel(SelfSimilarityParams, (p, { items }) => [
    { shader: 'self-similarity', groups: items * p.heads },
  ]),
  slashBlocks: gpuKernel(SlashBlocksParams, (p, { items }) => elementwise('slash-blocks', items * p.words)),
  stripeBlocks: gpuKernel(StripeBlocksParams, (p, { items }) => elementwise('stripe-blocks', items * p.words)),
  roundOutward: gpuKernel(OutwardParams, (p, { items, refuse }) => {
    const odd = [p.oStrideB, p.oStrideH, p.oStrideP].some((stride) => stride % 2 !== 0);
    if (odd || p.o % 4 !== 0) refuse('bounds of pages in bf16 that begin at an odd element');
    return elementwise('round-outward', items * p.d);
  }),
  channelScores: gpuKernel(ChannelScoreParams, (p, { items }) => {
    const spans = Math.ceil(p.columns / COLUMNS);
    const lists = (items / Math.ceil(p.columns / p.blockColumns)) * p.group;
    return [{ shader: 'channel-scores', groups: lists * p.rows * spans, extra: { spans } }];
  }),
  sparqQueries: gpuKernel(SparqQueryParams, (p, { items, refuse }) => {
    if (p.d > MOST_RANKED) refuse(`the largest of ${p.d} channels, at most ${MOST_RANKED}`);
    return [{ shader: 'sparq-queries', groups: items }];
  }),
  sparqBlend: gpuKernel(SparqBlendParams, (_, { items }) => [{ shader: 'sparq-blend', groups: items }]),
  heavyChannels: gpuKernel(HeavyChannelParams, (p, { items }) => {
    const spans = Math.ceil(p.d / CHANNELS);
    return [
      { shader: 'heavy-channels', groups: items * spans, extra: { spans } },
      { shader: 'heavy-shares', groups: items },
    ];
  }),
  takeChannels: gpuKernel(TakeChannelParams, (p, { items }) => elementwise('take-channels', items * p.heads * p.r)),
  principalDirections: gpuKernel(PrincipalParams, (p, { items, scratch, refuse }) => {
    if (p.d > MOST_RANKED) refuse(`principal directions of ${p.d} channels, at most ${MOST_RANKED}`);
    const means = scratch(items * p.d * FLOAT_BYTES);
    const matrices = scratch(items * p.d * p.d * FLOAT_BYTES);
    const turns = scratch(items * p.d * p.d * FLOAT_BYTES);
    const spans = Math.ceil(p.d / CHANNELS);
    return [
      { shader: 'key-means', groups: items * spans, extra: { means, spans } },
      ...elementwise('covariance', items * p.d * p.d, { means, matrices }),
      { shader: 'principal-directions', groups: items, extra: { matrices, turns } },
    ];
  }),
  hammingScores: gpuKernel(HammingParams, (p, { items }) => elementwise('hamming-scores', items * p.columns)),
  collisionScores: gpuKernel(CollisionParams, (p, { items }) => elementwise('collision-scores', items * p.columns)),
  centreRows: gpuKernel(CentreParams, (p, { items }) => elementwise('centre-rows', items * p.heads * p.d)),
  labelTokens: gpuKernel(LabelTokensParams, (p, { items }) => elementwise('label-tokens', items * p.words)),
  listScores: gpuKernel(ListScoreParams, (p, { items }) => {
    const spans = Math.ceil(p.width / ENTRIES);
    const constants = { Q_TYPE: p.qType, K_TYPE: p.kType };
    return [{ shader: 'list-scores', groups: items * spans, constants, extra: { spans } }];
  }),
  samplingBias: gpuKernel(SamplingBiasParams, (p, { items }) => {
    const spans = Math.ceil(p.width / ENTRIES);
    const constants = { Q_TYPE: p.qType, K_TYPE: p.kType };
    return [{ shader: 'sampling-bias', groups: items * spans, constants, extra: { spans } }];
  }),
  int4Keys: gpuKernel(Int4KeyParams, (p, { items, refuse }) => {
    const odd = [p.codes, p.codesStrideB, p.codesStrideT, p.codesStrideH].some((at) => at % 4 !== 0);
    if (odd) refuse('codes of four bits whose rows begin inside a word');
    const LANES = 16;
    const lines = items * p.heads;
    return [{ shader: 'int4-keys', groups: groupsOf(lines, THREADS / LANES), constants: { LANES }, extra: { lines } }];
  }),
  int4Scores: gpuKernel(Int4ScoreParams, (p, { items, refuse }) => {
    const odd = [p.codes, p.codesStrideB, p.codesStrideT, p.codesStrideH].some((at) => at % 4 !== 0);
    if (odd) refuse('codes of four bits whose rows begin inside a word');
    const spans = Math.ceil(p.entries / ENTRIES);
    return [{ shader: 'int4-scores', groups: items * spans, constants: { Q_TYPE: p.qType }, extra: { spans } }];
  }),
  pickListed: gpuKernel(PickParams, (p, { items }) => {
    const LANES = wordLanes(p.words);
    const groups = groupsOf(items, THREADS / LANES);
    return [{ shader: 'pick-listed', groups, constants: { LANES }, extra: { rowCount: items } }];
  }),
  farTokens: gpuKernel(FarTokensParams, (p, { items }) => {
    const LANES = wordLanes(p.words);
    const groups = groupsOf(items, THREADS / LANES);
    return [{ shader: 'far-tokens', groups, constants: { LANES }, extra: { rowCount: items } }];
  }),
  representatives: gpuKernel(RepresentativesParams, (p, { items, refuse }) => {
    if (p.scores !== 0 && p.block > MOST_RANKED) refuse(`the best of ${p.block} keys, at most ${MOST_RANKED}`);
    return [{ shader: 'representatives', groups: items }];
  }),
  tailFit: gpuKernel(TailFitParams, (p, { items, scratch }) => {
    const words = 2 * p.columns + 1 + p.length + p.exact + p.samples;
    return [{ shader: 'tail-fit', groups: items, extra: { space: scratch(items * words * FLOAT_BYTES) } }];
  }),
};
