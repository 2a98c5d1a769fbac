/**
 * Columns of a map's rows chosen by their scores, as bits.
 *
 * @module
 */
import type { Kernel } from '../../generated/kernels.ts';
import { SelectParams } from '../../generated/params.ts';
import { encode, type Values } from '../../runtime/params.ts';
import type { Builder } from '../../runtime/program.ts';
import type { Tensor } from '../../tensor.ts';
import { mapFields, type Visible } from './map.ts';

/** How columns that are chosen in any case count; the order is that of assembly/select/forced.ts. */
export type Forced = 'counted' | 'added' | 'union';

const FORCED: readonly Forced[] = ['counted', 'added', 'union'];

/** Elements of one turn at the work counter. */
const SPAN = 4096;

/** What all ways of choosing share. */
export interface Choice {
  /** What is not visible is never chosen, nor read. */
  readonly visible?: Visible | undefined;
  /** Columns 0 to first - 1 are chosen in any case where visible; default 0. */
  readonly first?: number;
  /** The last so many visible columns are chosen in any case; default 0. */
  readonly last?: number;
  /**
   * `counted` (default): the forced ones are among the k, and their mass in the share. `added`: k, or the share of the others'
   * mass, come on top. `union`: the choice is made as if none were forced, and they are joined to it.
   */
  readonly forced?: Forced;
  /** `row` (default): every row chooses for itself. `head`: all visible cells of a list are chosen from as one. */
  readonly scope?: 'row' | 'head';
  /** Where the bits go, if the map is a part of the rows: a tensor of all rows' bits and the first row. */
  readonly into?: { readonly bits: Tensor; readonly row: number } | undefined;
}

/** A number for all rows, or a tensor [B, L, R] with one for each (`head`: row 0's is that of the list); axes of length 1 repeat. */
export type Each = number | Tensor;

function choose(b: Builder, kernel: Kernel, map: Tensor, choice: Choice, values: Values<typeof SelectParams>): Tensor {
  const [batch, lists, rows, columns] = map.shape as [number, number, number, number];
  const words = Math.ceil(columns / 32);
  const bits = choice.into?.bits ?? b.temporary([batch, lists, rows, words], 'i32');
  const at = choice.into ? bits.slice(2, choice.into.row, choice.into.row + rows) : bits;
  const whole = choice.scope === 'head';
  const params = encode(SelectParams, mapFields(map, choice.visible), values, {
    bits: at.address,
    bitsStride: bits.strides[1]!,
    words,
    first: choice.first ?? 0,
    last: choice.last ?? 0,
    forced: FORCED.indexOf(choice.forced ?? 'counted'),
    whole: whole ? 1 : 0,
  });
  b.dispatch({
    kernel,
    params,
    items: batch * lists * (whole ? 1 : rows),
    grain: whole ? 1 : Math.max(1, Math.ceil(SPAN / Math.max(1, columns))),
    scratchBytes: b.runtime.scratchBytes('selectScratchBytes', params),
    flops: 4 * map.size,
  });
  return bits;
}

/** Address and strides of a value for each row, or the same for all. */
function eachOf(value: Each, map: Tensor): { readonly each: number; readonly strides: Values<typeof SelectParams> } {
  if (typeof value === 'number') return { each: 0, strides: {} };
  const [eachStrideB, eachStrideH, eachStrideR] = value.broadcast(map.shape.slice(0, 3)).strides as [
    number,
    number,
    number,
  ];
  return { each: value.address, strides: { eachStrideB, eachStrideH, eachStrideR } };
}

/** Adds bits i32 [B, L, R, ceil(C / 32)]: the k highest of each row of map [B, L, R, C]; equal scores from the left, NaN last. `k`: i32 if a tensor. */
export function selectTopK(b: Builder, map: Tensor, { k, ...choice }: Choice & { readonly k: Each }): Tensor {
  const { each, strides } = eachOf(k, map);
  return choose(b, 'selectTopK', map, choice, {
    each,
    ...strides,
    k: typeof k === 'number' ? Math.min(k, 2 ** 31 - 1) : 0,
  });
}

/**
 * Adds bits: the fewest highest of each row that hold a share `p` of the sum of its visible scores, but at least `minimum` (default
 * 1). Scores below 0 and NaN weigh nothing; 1 takes all that is visible. `p`: f32 if a tensor.
 */
export function selectTopP(
  b: Builder,
  map: Tensor,
  { p, minimum = 1, ...choice }: Choice & { readonly p: Each; readonly minimum?: number },
): Tensor {
  const { each, strides } = eachOf(p, map);
  return choose(b, 'selectTopP', map, choice, { each, ...strides, level: typeof p === 'number' ? p : 0, k: minimum });
}

/** Adds bits: the scores above `threshold` (f32 if a tensor), and the forced columns. */
export function selectAbove(
  b: Builder,
  map: Tensor,
  { threshold, ...choice }: Omit<Choice, 'forced' | 'scope'> & { readonly threshold: Each },
): Tensor {
  const { each, strides } = eachOf(threshold, map);
  return choose(b, 'selectAbove', map, choice, {
    each,
    ...strides,
    level: typeof threshold === 'number' ? threshold : 0,
  });
}
