import { MR } from '../gemm/panel';
import { elementBytes, widenRow } from '../simd/storage';

/** Rows of whole groups of the micro-kernel that hold `rows`. */
// @ts-ignore: decorator
@inline
export function wholeGroups(rows: i32): i32 {
  return ((rows + MR - 1) / MR) * MR;
}

/** dst f32 [rows][d] = scale times rows of a storage type, `stride` elements apart, and zeros up to whole groups. */
export function loadRows(x: usize, type: i32, stride: i32, rows: i32, dst: usize, d: i32, scale: f32): void {
  const bytes = elementBytes(type);
  const rowBytes = (<usize>d) << 2;
  for (let i: usize = 0; i < <usize>rows; ++i) {
    widenRow(x + i * <usize>stride * bytes, type, dst + i * rowBytes, d, scale);
  }
  memory.fill(dst + <usize>rows * rowBytes, 0, <usize>(wholeGroups(rows) - rows) * rowBytes);
}
