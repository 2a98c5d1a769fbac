/**
 * Groups of heads, rows and columns of a map as one.
 *
 * @module
 */
import { ReduceMapParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields, REDUCTIONS, type Reduction, type Visible } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 8192;

/** How many become one; 1 where left out. heads divides the map's lists. */
export interface MapGroup {
  readonly heads?: number;
  readonly rows?: number;
  readonly columns?: number;
}

/**
 * Adds [B, L / heads, ceil(R / rows), ceil(C / columns)] of map [B, L, R, C], of what the rows see: where nothing is seen mean
 * and sum are 0, max is -Infinity and min Infinity; the mean is over what is seen.
 */
export function reduceMap(
  b: Builder,
  map: Tensor,
  { heads = 1, rows = 1, columns = 1 }: MapGroup,
  kind: Reduction,
  { visible }: { readonly visible?: Visible | undefined } = {},
): Tensor {
  const [batch, lists, mapRows, mapColumns] = map.shape as [number, number, number, number];
  const [outRows, outColumns] = [Math.ceil(mapRows / rows), Math.ceil(mapColumns / columns)];
  const o = b.temporary([batch, lists / heads, outRows, outColumns]);
  b.dispatch({
    kernel: 'reduceMap',
    params: encode(ReduceMapParams, mapFields(map, visible), {
      o: o.address,
      groupHeads: heads,
      groupRows: rows,
      groupColumns: columns,
      outRows,
      outColumns,
      kind: REDUCTIONS.indexOf(kind),
    }),
    items: (batch * lists * outRows) / heads,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, mapColumns * heads * rows))),
    scratchBytes: 2 * (mapColumns + 4) * 4,
    flops: map.size,
  });
  return o;
}
