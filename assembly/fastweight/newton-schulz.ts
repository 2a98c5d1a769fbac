import {
  addScaled,
  matrixBytes,
  packColumns,
  packRows,
  panelsBytes,
  rowBytes,
  scale,
  squares,
  transpose,
} from './matrix';
import { product } from './product';

// Factors a, b, c of the five steps X = a X + (b A + c A^2) X, A = X X^T, of LaCT.
// prettier-ignore
const STEPS: usize = memory.data<f32>([
  4.0848, -6.8946, 2.9270,
  3.9505, -6.3029, 2.6377,
  3.7418, -5.5913, 2.3037,
  2.8769, -3.1427, 1.2046,
  2.8366, -3.0525, 1.2012,
], 16);
const STEP_COUNT: i32 = 5;

/** Bytes of scratch for a matrix whose sides are at most `rows` and `columns`. */
export function newtonSchulzBytes(rows: i32, columns: i32): usize {
  const small = min(rows, columns);
  const large = max(rows, columns);
  return (
    2 * matrixBytes(small, large) +
    2 * matrixBytes(small, small) +
    panelsBytes(large, small) +
    panelsBytes(small, large)
  );
}

/**
 * Nearly the orthogonal factor of a matrix: X / (|X| + 1e-7) through five Newton-Schulz steps (Jordan 2024), of the transpose where it has
 * more rows than columns.
 *
 *   x  f32 [rows, columns] as in matrix.ts, in place
 */
export function newtonSchulz(x: usize, rows: i32, columns: i32, scratch: usize): void {
  const small = min(rows, columns);
  const large = max(rows, columns);
  const step = rowBytes(large);
  const smallStep = rowBytes(small);
  const bytes = matrixBytes(small, large);
  const y = scratch;
  const next = y + bytes;
  const gram = next + bytes;
  const polynomial = gram + matrixBytes(small, small);
  const across = polynomial + matrixBytes(small, small);
  const along = across + panelsBytes(large, small);
  memory.fill(y, 0, bytes);
  if (rows > columns) transpose(x, y, rows, columns, rowBytes(columns), step);
  else memory.copy(y, x, bytes);
  const used = <usize>small * step;
  scale(y, 1 / (sqrt<f32>(squares(y, used)) + 1e-7), used);
  for (let n = 0; n < STEP_COUNT; ++n) {
    const factors = STEPS + <usize>(n * 12);
    const squareBytes = <usize>small * smallStep;
    packRows(y, across, small, large, step);
    product(small, y, step, (small + 7) >> 3, across, (<usize>large) << 5, gram, 32, smallStep, large, 0);
    // it is symmetric: its rows are its columns
    packRows(gram, across, small, small, smallStep);
    product(small, gram, smallStep, (small + 7) >> 3, across, (<usize>small) << 5, polynomial, 32, smallStep, small, 0);
    scale(polynomial, load<f32>(factors, 8), squareBytes);
    addScaled(polynomial, gram, load<f32>(factors, 4), squareBytes);
    packColumns(y, along, small, large, step);
    product(small, polynomial, smallStep, (large + 7) >> 3, along, (<usize>small) << 5, next, 32, step, small, 0);
    scale(y, load<f32>(factors), used);
    addScaled(y, next, 1, used);
  }
  if (rows > columns) transpose(y, x, columns, rows, step, rowBytes(columns));
  else memory.copy(x, y, used);
}
