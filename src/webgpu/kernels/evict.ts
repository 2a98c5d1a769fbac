/**
 * Slots that let tokens go, and the votes that say which.
 *
 * @module
 */
import {
  GatherSlotsParams,
  HeadClustersParams,
  PoolVotesParams,
  PositionBitsParams,
  PutHeadsParams,
  SlotParams,
} from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf, type Pass } from '../kernel.ts';
import { FLOAT_BYTES, THREADS } from './select-tiles.ts';

/** Words of a workgroup that sets bits. */
const WORDS = 1024;
/** Elements of a query that a workgroup holds. */
const MOST_DK = 1024;
/** Heads that a workgroup clusters. */
const MOST_HEADS = 1024;

export const evict = {
  slotAttend: gpuKernel(SlotParams, (p, { items, scratch, refuse }) => {
    if (p.dk > MOST_DK) refuse(`slots of keys of ${p.dk} elements, at most ${MOST_DK}`);
    const SLICES = p.dv <= 16 ? 16 : p.dv <= 32 ? 8 : p.dv <= 64 ? 4 : p.dv <= 128 ? 2 : 1;
    return [
      {
        shader: 'slot-attend',
        groups: items,
        constants: { K_TYPE: p.kType, V_TYPE: p.vType, SLICES },
        extra: { space: scratch(items * p.slots * FLOAT_BYTES) },
      },
    ];
  }),
  putTokens: gpuKernel(SlotParams, (_, { items }) => [{ shader: 'put-tokens', groups: items }]),
  gatherSlots: gpuKernel(GatherSlotsParams, (p, { items, refuse }) => {
    if (p.rowBytes % 4 !== 0) refuse(`slots of ${p.rowBytes} bytes, no multiple of 4`);
    const elements = (items * p.rowBytes) / 4;
    return [{ shader: 'gather-slots', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  positionBits: gpuKernel(PositionBitsParams, (p, { items }) => {
    const spans = Math.ceil(p.words / WORDS);
    return [{ shader: 'position-bits', groups: items * spans, extra: { spans } }];
  }),
  poolVotes: gpuKernel(PoolVotesParams, (p, { items }) => {
    const elements = items * p.length;
    return [{ shader: 'pool-votes', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  headClusters: gpuKernel(HeadClustersParams, (p, { items, scratch, refuse }): Pass[] => {
    if (p.heads > MOST_HEADS) refuse(`clusters of ${p.heads} heads, at most ${MOST_HEADS}`);
    const rows = items * p.heads * p.tokens;
    const weights = scratch(rows * p.tokens * FLOAT_BYTES);
    const elements = items * p.heads * p.heads;
    const distances = scratch(elements * FLOAT_BYTES);
    return [
      { shader: 'head-weights', groups: groupsOf(rows, THREADS), extra: { weights, elements: rows } },
      { shader: 'head-distances', groups: groupsOf(elements, THREADS), extra: { weights, distances, elements } },
      { shader: 'head-clusters', groups: items, extra: { distances } },
    ];
  }),
  putHeads: gpuKernel(PutHeadsParams, (p, { items }) => {
    const narrow = p.oType !== 0;
    const odd = narrow && [p.o / 2, p.d, p.oStrideB, p.oStrideT, p.oStrideH].some((at) => at % 2 !== 0);
    const EACH = narrow && !odd ? 2 : 1;
    const elements = (items * p.heads * p.d) / EACH;
    const pass = (byte: number): Pass => ({
      shader: 'put-heads',
      groups: groupsOf(elements, THREADS),
      constants: { EACH, PLACES: odd },
      extra: { elements, byte },
    });
    return odd ? [pass(0), pass(2)] : [pass(0)];
  }),
};
