/**
 * How many of the largest numbers of a row hold a share of their sum.
 *
 * @module
 */
import { CoverCountParams } from '../../generated/params.ts';
import { encode } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';

/** Elements of one turn at the work counter. */
const SPAN = 4096;

/** What is counted: n numbers give floor((n + add) / div) + plus, from `least` to `most`; a share of 1 gives `most`. */
export interface CoverCall {
  /** A share for all lists, or for each. */
  readonly share: number | readonly number[];
  readonly visible?: Visible | undefined;
  readonly add?: number;
  readonly div?: number;
  readonly plus?: number;
  readonly least: number;
  readonly most: number;
}

/** Adds to `o` i32 [B, L, R] the counts of map [B, L, R, C]. */
export function coverCount(b: Builder, map: Tensor, call: CoverCall, o: Tensor): void {
  const { share, visible, add = 0, div = 1, plus = 0, least, most } = call;
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  const params = encode(CoverCountParams, mapFields(map, visible), {
    o: o.address,
    shares: typeof share === 'number' ? 0 : b.table(new Int32Array(Float32Array.from(share).buffer)),
    level: typeof share === 'number' ? share : 0,
    add,
    div,
    plus,
    least,
    most,
  });
  b.dispatch({
    kernel: 'coverCount',
    params,
    items: batch * lists * rows,
    grain: Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    scratchBytes: b.runtime.scratchBytes('coverCountScratchBytes', params),
    flops: 4 * map.size,
  });
}
