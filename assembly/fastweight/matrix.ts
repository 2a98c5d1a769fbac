import { MR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { sum4 } from '../simd/reduce';
import { fma } from '../simd/fma';

// Matrices in scratch: rows whole panels of eight wide and a whole number of tiles of rows, zeros beyond what they hold.

/** Bytes of a row of n floats. */
// @ts-ignore: decorator
@inline
export function rowBytes(n: i32): usize {
  return (<usize>((n + 7) >> 3)) << 5;
}

/** Rows of a matrix with room for whole tiles and panels. */
// @ts-ignore: decorator
@inline
function roomy(rows: i32): usize {
  return <usize>(((rows + 7) & ~7) + MR);
}

/** Bytes of a matrix of rows x columns. */
export function matrixBytes(rows: i32, columns: i32): usize {
  return roomy(rows) * rowBytes(columns);
}

/** Bytes of the panels of a matrix whose rows, or columns, are k long and number n. */
export function panelsBytes(k: i32, n: i32): usize {
  return rowBytes(n) * <usize>k;
}

/** to = from f32 [rows, columns], or zeros for an address of 0. */
export function loadMatrix(to: usize, from: usize, rows: i32, columns: i32): void {
  memory.fill(to, 0, matrixBytes(rows, columns));
  if (!from) return;
  const step = rowBytes(columns);
  const bytes = (<usize>columns) << 2;
  for (let i: usize = 0; i < <usize>rows; ++i) memory.copy(to + i * step, from + i * bytes, bytes);
}

/** to f32 [rows, columns] = from. */
export function storeMatrix(from: usize, to: usize, rows: i32, columns: i32): void {
  const step = rowBytes(columns);
  const bytes = (<usize>columns) << 2;
  for (let i: usize = 0; i < <usize>rows; ++i) memory.copy(to + i * bytes, from + i * step, bytes);
}

/** Panels [columns8 / 8][rows][8] of a matrix as it is: the right side of a product over its rows. */
export function packColumns(from: usize, panels: usize, rows: i32, columns: i32, step: usize): void {
  for (let c = 0; c < columns; c += 8) {
    let at = from + ((<usize>c) << 2);
    for (let i = rows; i > 0; --i) {
      v128.store(panels, v128.load(at));
      v128.store(panels, v128.load(at, 16), 16);
      at += step;
      panels += 32;
    }
  }
}

/** Panels [rows8 / 8][columns][8] of its transpose: the right side of a product over its columns. */
export function packRows(from: usize, panels: usize, rows: i32, columns: i32, step: usize): void {
  for (let i = 0; i < rows; i += 8) {
    transposePanel(from + <usize>i * step, step, panels, columns);
    panels += (<usize>columns) << 5;
  }
}

/** to [columns][rows] = the transpose of from [rows][columns]. */
export function transpose(from: usize, to: usize, rows: i32, columns: i32, step: usize, toStep: usize): void {
  for (let i = 0; i < rows; ++i) {
    let at = from + <usize>i * step;
    let out = to + ((<usize>i) << 2);
    for (let c = columns; c > 0; --c) {
      store<f32>(out, load<f32>(at));
      at += 4;
      out += toStep;
    }
  }
}

/** x += factor y over `bytes` bytes. */
export function addScaled(x: usize, y: usize, factor: f32, bytes: usize): void {
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(x + i, fma(v128.load(y + i), f, v128.load(x + i)));
}

/** x = factor x over `bytes` bytes. */
export function scale(x: usize, factor: f32, bytes: usize): void {
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), f));
}

/** Sum of squares of `bytes` bytes of floats. */
export function squares(x: usize, bytes: usize): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  for (let i: usize = 0; i < bytes; i += 32) {
    const a = v128.load(x + i);
    const b = v128.load(x + i, 16);
    s0 = fma(a, a, s0);
    s1 = fma(b, b, s1);
  }
  return sum4(f32x4.add(s0, s1));
}
