/**
 * What selection kernels choose and attention reads: which keys each row of queries sees.
 *
 * @module
 */
import type { Tensor } from '../tensor.ts';

/** Pairs of queries and keys that the program itself chooses. */
export interface Selection {
  /** i32 [B, L, R, W]: bit j (word j >> 5, bit j & 31) of row r shows key block j to queries of row r. L lists serve Hq heads: head h uses list floor(h * L / Hq). W = ceil(blocks / 32), unused bits 0. */
  readonly bits: Tensor;
  /** Queries of a row: query i is of row floor(i / queryBlock); any whole number >= 1. */
  readonly queryBlock: number;
  /** Keys of a bit: key j is of bit floor(j / keyBlock); any whole number >= 1 (1: single tokens). */
  readonly keyBlock: number;
  /** Instead of queryBlock / keyBlock: i32 [B, L, Tq] and [B, L, Tk], the row / bit of each query / key (sorted clusters: keys of one bit should lie together). */
  readonly queryLabels?: Tensor;
  readonly keyLabels?: Tensor;
}
