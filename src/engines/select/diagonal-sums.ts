/**
 * Sums of a map along its diagonals.
 *
 * @module
 */
import { DiagonalSumsParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';

/**
 * Adds f32 [B, L, 1, count] of map [B, L, R, C]: number d is the sum over i + offset - j = d of what the rows see. `offset` is the
 * column on diagonal 0 of row 0, `count` (default C) the number of diagonals, those outside are left out.
 */
export function diagonalSums(
  b: Builder,
  map: Tensor,
  { offset, count = map.shape[3]!, visible }: { offset: number; count?: number; visible?: Visible | undefined },
): Tensor {
  const [batch, lists] = map.shape as [number, number, number, number];
  const o = b.temporary([batch, lists, 1, count]);
  b.dispatch({
    kernel: 'diagonalSums',
    params: encode(DiagonalSumsParams, mapFields(map, visible), { o: o.address, count, offset }),
    items: batch * lists,
    flops: map.size,
  });
  return o;
}
