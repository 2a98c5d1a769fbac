/**
 * Scores weighed between the least and the largest of their row.
 *
 * @module
 */
import { MinMaxParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/**
 * Adds map [B, L, R, C] = scores as weights from 0 to 1, in place, the own column (i32 [R]) of each row as NaN.
 *
 * @returns shares f32 [B, L, R]: what share of the others' weights brings a row's own and theirs to `level` of all.
 */
export function minMaxGates(b: Builder, map: Tensor, own: Tensor, level: number): Tensor {
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  const shares = b.temporary([batch, lists, rows]);
  b.dispatch({
    kernel: 'minMaxGates',
    params: encode(MinMaxParams, mapFields(map, undefined), { own: own.address, shares: shares.address, level }),
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    flops: 4 * map.size,
  });
  return shares;
}
