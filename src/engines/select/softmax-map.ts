/**
 * Softmax of a map's rows.
 *
 * @module
 */
import { SoftmaxMapParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** Adds map [B, L, R, C] = softmax of scale (above 0) * map over what each row sees, in place; the rest becomes 0. Returns the map. */
export function softmaxMap(
  b: Builder,
  map: Tensor,
  { visible, scale = 1 }: { readonly visible?: Visible | undefined; readonly scale?: number } = {},
): Tensor {
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  b.dispatch({
    kernel: 'softmaxMap',
    params: encode(SoftmaxMapParams, mapFields(map, visible), { scale }),
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    flops: 16 * map.size,
  });
  return map;
}
