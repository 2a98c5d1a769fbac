/**
 * Choices by scores that are never all there at once: maps of tokens and tokens would not fit.
 *
 * @module
 */
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import type { Choice } from './choose.ts';
import type { Visible } from './map.ts';
import { suitsFew } from './score-few.ts';
import { packKeys, type ScoreCall, scoreMap, scoreRows } from './score-map.ts';

/** Scores of a slab for each thread, about: what was scored is still in its second-level cache when it is searched. */
const SLAB = 2 ** 19;
/** Rows of a slab for each thread: a multiple of an item's. */
const ROWS = 24;
/** Scores of a slab on a GPU, about, whose whole memory is near, and its rows: those of a tile. */
const GPU_SLAB = 2 ** 24;
const GPU_ROWS = 128;

/** Some of the rows of a choice. */
export interface Slab {
  readonly visible?: Visible | undefined;
  /** To be passed on to the choice. */
  readonly into: NonNullable<Choice['into']>;
  /** The slab's rows of a tensor [B, L, N, ...] of all rows; an axis of length 1 stays. */
  rows(all: Tensor): Tensor;
}

/**
 * Adds bits i32 [B, L, N, ceil(M / 32)] that `choose` chooses (`selectTopK(b, map, { k, ...slab })`) from the scores of a call, slab
 * by slab. It may change the map on the way, as `softmaxMap` does. Of every slab the map is the same tensor.
 */
export function selectScored(b: Builder, call: ScoreCall, choose: (map: Tensor, slab: Slab) => unknown): Tensor {
  const { q, k, weights, visible } = call;
  const [batch, count, heads] = q.shape as [number, number, number, number];
  const columns = k.shape[1]!;
  const lists = weights ? 1 : heads;
  const bits = b.temporary([batch, lists, count, Math.ceil(columns / 32)], 'i32');
  if (bits.size === 0) return bits;
  const [slab, multiple] = b.runtime.backend === 'webgpu' ? [GPU_SLAB, GPU_ROWS] : [SLAB, ROWS];
  const fitting = Math.max(1, Math.floor(slab / (batch * lists * columns) / multiple));
  const most = Math.min(count, fitting * multiple * b.runtime.threads);
  if (suitsFew(call)) {
    choose(scoreMap(b, call), { visible, into: { bits, row: 0 }, rows: (all) => all });
    return bits;
  }
  const kPack = packKeys(b, k);
  const space = b.temporary([batch, lists, most, columns]);
  for (let row = 0; row < count; row += most) {
    const rows = Math.min(most, count - row);
    const part = (x: Tensor, axis: number) => (x.shape[axis] === 1 ? x : x.slice(axis, row, row + rows));
    const slab: Slab = {
      visible: visible && { ...visible, add: visible.add + row * visible.mul },
      into: { bits, row },
      rows: (all) => part(all, 2),
    };
    const map = space.slice(2, 0, rows);
    const some = { q: part(q, 1), weights: weights && part(weights, 1), visible: slab.visible };
    scoreRows(b, { ...call, ...some }, kPack, map);
    choose(map, slab);
  }
  return bits;
}
