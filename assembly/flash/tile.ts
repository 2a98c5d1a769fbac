import { MR, NR } from '../gemm/panel';

/** Keys of one block: scores of a row group and the block's packed keys stay in the first-level cache. */
export const BLOCK_K: i32 = 64;
/** log2 of BLOCK_K. */
export const BLOCK_K_SHIFT: i32 = 6;
/** Bytes of one row of the score tile. */
export const SCORE_ROW: usize = (<usize>BLOCK_K) << 2;

/** n rounded up to whole panels. */
// @ts-ignore: decorator
@inline
export function roundUpNR(n: i32): i32 {
  return (n + NR - 1) & ~(NR - 1);
}

/** Row groups that cover n rows. */
// @ts-ignore: decorator
@inline
export function rowGroups(n: i32): i32 {
  return (n + MR - 1) / MR;
}
