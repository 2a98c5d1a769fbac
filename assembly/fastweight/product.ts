import { panelRow } from '../gemm/gemm';
import { ADD_LAST, MR, OVERWRITE, panels } from '../gemm/panel';

/**
 * C[rows][8 count] (+)= A[rows][k] B[k][8 count] for any number of rows. Whole tiles of A are read and of C written, unless the last
 * has a single row: both have room for MR - 1 rows more. What is added to is added last: sums of gradients are small beside weights.
 *
 *   a  f32 [rows][k]         row stride `aStride` bytes
 *   b  f32 [count][k][8]     panels `bStep` bytes apart
 *   c  f32 [rows][count][8]  rows `cStride` bytes apart, columns of panels `cStep`
 */
export function product(
  rows: i32,
  a: usize,
  aStride: usize,
  count: i32,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  cStride: usize,
  k: i32,
  accumulate: i32,
): void {
  const mode = accumulate ? ADD_LAST : OVERWRITE;
  let left = rows;
  for (; left > 1; left -= MR) {
    panels(count, a, aStride, b, bStep, c, cStep, cStride, k, mode);
    a += <usize>MR * aStride;
    c += <usize>MR * cStride;
  }
  if (left == 1) {
    for (let n = count; n > 0; --n) {
      panelRow(a, b, c, k, accumulate);
      b += bStep;
      c += cStep;
    }
  }
}
