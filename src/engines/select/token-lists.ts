/**
 * Lists of all tokens.
 *
 * @module
 */
import type { Builder } from '../../runtime/program.ts';
import { type IndexLists, selectIndices } from './bits.ts';
import { selectTopK } from './choose.ts';
import type { Visible } from './map.ts';

/** Adds lists [B, L, Tq, Tk] of the tokens that queries see. */
export function tokenLists(
  b: Builder,
  [batch, lists, rows]: readonly [number, number, number],
  length: number,
  visible: Visible,
): IndexLists {
  // of a map of which nothing is taken by its scores nothing is read
  const map = b.temporary([batch, lists, rows, length]);
  return selectIndices(b, selectTopK(b, map, { k: 0, first: length, visible }), length);
}
