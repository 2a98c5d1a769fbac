/**
 * Rows pooled, hashed, sorted by labels, and put in other orders.
 *
 * @module
 */
import {
  GatherHeadsParams,
  HashParams,
  NearestParams,
  PoolParams,
  SignsParams,
  SortLabelsParams,
} from '../../generated/gpu-params.ts';
import { gpuKernel, groupsOf, type Pass, type PlanCall, roundUp } from '../kernel.ts';
import { FLOAT_BYTES, THREADS, TILE_COLUMNS, tilesOf } from './select-tiles.ts';

/** Bits of a digit. */
const DIGIT = 8;
/** Tokens of a workgroup that finds their last rows. */
const SCATTER_SPAN = 2048;

/** Whose lists are sorted: their shaders take other params. */
type Sorter = 'sort' | 'pool' | 'scatter';

interface Lists {
  readonly lists: number;
  readonly tokens: number;
  /** Labels are below it; what is not comes last. */
  readonly labels: number;
}

/** Sorts the tokens of lists by their labels, digit by digit, into i32 [lists, tokens]. */
function sorted(sorter: Sorter, { lists, tokens, labels }: Lists, order: number, { scratch }: PlanCall): Pass[] {
  const bytes = lists * tokens * 4;
  const digits = Math.ceil((32 - Math.clz32(Math.max(1, labels))) / DIGIT);
  const spaces = [digits > 1 ? scratch(bytes) : 0, digits > 2 ? scratch(bytes) : 0];
  let from = 0;
  return Array.from({ length: digits }, (_, n) => {
    const to = n === digits - 1 ? order : spaces[n % 2]!;
    const extra = { from_: from, to_: to, shift: n * DIGIT };
    from = to;
    return { shader: `${sorter}-digits`, groups: lists, extra } as Pass;
  });
}

/** First places of the labels of sorted lists, into i32 [lists, labels + 1]. */
function offsetsOf(sorter: Sorter, { lists, tokens }: Lists, order: number, offsets: number): Pass {
  const elements = lists * (tokens + 1);
  const extra = { order_: order, offsets_: offsets, elements };
  return { shader: `${sorter}-offsets`, groups: groupsOf(elements, THREADS), extra };
}

export const selectRows = {
  poolBlocks: gpuKernel(PoolParams, (p, { items }) => {
    const SLICES = p.block >= 1024 ? 32 : p.block >= 32 ? 8 : 1;
    const spans = groupsOf(p.heads * p.d, THREADS / SLICES);
    return [{ shader: 'pool-blocks', groups: items * spans, constants: { SLICES }, extra: { spans } }];
  }),
  splitSigns: gpuKernel(SignsParams, (p, { items }) => {
    const elements = items * p.d;
    return [{ shader: 'split-signs', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  hash: gpuKernel(HashParams, (p, { items, scratch }): Pass[] => {
    const lists = items / Math.ceil(p.length / p.blockRows);
    const constants = { X_TYPE: p.xType };
    if (p.signs === 0) {
      const { ROWS, rowTiles } = tilesOf(p.length, lists * p.rounds);
      const groups = lists * p.rounds * rowTiles;
      return [{ shader: 'hash-nearest', groups, constants: { ...constants, ROWS }, extra: { rowTiles } }];
    }
    const columnTiles = Math.ceil((p.rounds * p.directions) / TILE_COLUMNS);
    const { ROWS, rowTiles } = tilesOf(p.length, lists * columnTiles);
    const words = columnTiles * 2;
    const space = scratch(lists * p.length * words * 4);
    const elements = lists * p.rounds * p.length;
    return [
      {
        shader: 'hash-signs',
        groups: lists * rowTiles * columnTiles,
        constants: { ...constants, ROWS },
        extra: { rowTiles, columnTiles, space },
      },
      { shader: 'hash-labels', groups: groupsOf(elements, THREADS), extra: { words, space, elements } },
    ];
  }),
  nearest: gpuKernel(NearestParams, (p, { items, scratch }) => {
    const lists = items / Math.ceil(p.length / p.blockRows);
    const elements = lists * roundUp(p.count, 8);
    const space = scratch(elements * FLOAT_BYTES);
    const { ROWS, rowTiles } = tilesOf(p.length, lists);
    const squares: Pass = { shader: 'half-squares', groups: groupsOf(elements, THREADS), extra: { space, elements } };
    return [
      ...(p.dot === 0 ? [squares] : []),
      {
        shader: 'nearest',
        groups: lists * rowTiles,
        constants: { X_TYPE: p.xType, ROWS },
        extra: { rowTiles, space },
      },
    ];
  }),
  sortLabels: gpuKernel(SortLabelsParams, (p, call) => {
    const lists = { lists: call.items, tokens: p.length, labels: p.count };
    return [...sorted('sort', lists, p.order, call), offsetsOf('sort', lists, p.order, p.offsets)];
  }),
  poolLabels: gpuKernel(PoolParams, (p, call) => {
    const lists = { lists: (call.items / p.heads) * p.lists, tokens: p.length, labels: p.count };
    const order = call.scratch(lists.lists * p.length * 4);
    const offsets = call.scratch(lists.lists * (p.count + 1) * 4);
    const elements = call.items * p.count * p.d;
    return [
      ...sorted('pool', lists, order, call),
      offsetsOf('pool', lists, order, offsets),
      {
        shader: 'pool-labels',
        groups: groupsOf(elements, THREADS),
        extra: { order_: order, offsets_: offsets, elements },
      },
    ];
  }),
  gatherHeads: gpuKernel(GatherHeadsParams, (p, { items }) => {
    const elements = (items / Math.ceil(p.n / p.span)) * p.n * p.d;
    return [{ shader: 'gather-heads', groups: groupsOf(elements, THREADS), extra: { elements } }];
  }),
  scatterHeads: gpuKernel(GatherHeadsParams, (p, call) => {
    const groups = call.items / Math.ceil(p.length / p.span);
    const lists = { lists: (groups / p.groups) * p.lists, tokens: p.n, labels: p.length };
    const elements = groups * p.length * p.d;
    const rows = (SUMMED: boolean, space: number, order: number): Pass => ({
      shader: 'scatter-rows',
      groups: groupsOf(elements, THREADS),
      constants: { SUMMED },
      extra: { space, order_: order, elements },
    });
    if (p.combine === 0) {
      const space = call.scratch(lists.lists * p.length * 4);
      const spans = Math.ceil(p.length / SCATTER_SPAN);
      return [{ shader: 'scatter-last', groups: lists.lists * spans, extra: { space, spans } }, rows(false, space, 0)];
    }
    const order = call.scratch(lists.lists * p.n * 4);
    const offsets = call.scratch(lists.lists * (p.length + 1) * 4);
    return [
      ...sorted('scatter', lists, order, call),
      offsetsOf('scatter', lists, order, offsets),
      rows(true, offsets, order),
    ];
  }),
};
