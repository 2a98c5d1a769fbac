import { fma } from '../simd/fma';

/** Rows of one micro-kernel tile: as many accumulators as the build's registers hold. */
export const MR: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 4;
/** Columns of one packed panel. */
export const NR: i32 = 8;
/** What becomes of C: overwritten; the start of the sum; or added to the sum of products, which are small beside it, at its end. */
export const OVERWRITE: i32 = 0;
export const ACCUMULATE: i32 = 1;
export const ADD_LAST: i32 = 2;

/**
 * C[MR][8] (+)= A[MR][k] B[k][8] for `count` panels B: the micro-kernel under every matrix product.
 *
 *   a  f32 [MR][k]          row stride `aStride` bytes, k contiguous
 *   b  f32 [count][k][8]    packed, 16-byte aligned; panels `bStep` bytes apart
 *   c  f32 [count][MR][8]   row stride `cStride` bytes, tiles `cStep` bytes apart; must not alias a or b
 *
 * `accumulate` is one of the three above.
 */
export function panels(
  count: i32,
  a: usize,
  aStride: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  cStride: usize,
  k: i32,
  accumulate: i32,
): void {
  const a1 = a + aStride;
  const a2 = a1 + aStride;
  const a3 = a2 + aStride;
  const a4 = a3 + aStride;
  const a5 = a4 + aStride;
  for (; count > 0; --count) {
    const c1 = c + cStride;
    const c2 = c1 + cStride;
    const c3 = c2 + cStride;
    const c4 = c3 + cStride;
    const c5 = c4 + cStride;
    tile(a, a1, a2, a3, a4, a5, b, c, c1, c2, c3, c4, c5, k, accumulate, 0);
    b += bStep;
    c += cStep;
  }
}

/** Entry r of a table of addresses; none past MR. */
// @ts-ignore: decorator
@inline
function addressAt(table: usize, r: i32): usize {
  return r < MR ? load<usize>(table + ((<usize>r) << 2)) : 0;
}

/**
 * As `panels`, of rows that lie anywhere.
 *
 *   aRows, cRows usize [MR]   addresses of the rows of a, and of the first tile of c; bytes aAt and cAt are added to them
 */
export function panelsOfRows(
  count: i32,
  aRows: usize,
  aAt: usize,
  b: usize,
  bStep: usize,
  cRows: usize,
  cAt: usize,
  cStep: usize,
  k: i32,
  accumulate: i32,
): void {
  const a0 = addressAt(aRows, 0) + aAt;
  const a1 = addressAt(aRows, 1) + aAt;
  const a2 = addressAt(aRows, 2) + aAt;
  const a3 = addressAt(aRows, 3) + aAt;
  const a4 = addressAt(aRows, 4) + aAt;
  const a5 = addressAt(aRows, 5) + aAt;
  for (; count > 0; --count) {
    const c0 = addressAt(cRows, 0) + cAt;
    const c1 = addressAt(cRows, 1) + cAt;
    const c2 = addressAt(cRows, 2) + cAt;
    const c3 = addressAt(cRows, 3) + cAt;
    const c4 = addressAt(cRows, 4) + cAt;
    const c5 = addressAt(cRows, 5) + cAt;
    tile(a0, a1, a2, a3, a4, a5, b, c0, c1, c2, c3, c4, c5, k, accumulate, 0);
    b += bStep;
    cAt += cStep;
  }
}

/**
 * C[MR / 2][8] (+)= w_0 max(0, A_0[MR / 2][k] B) + w_1 max(0, A_1 B) for `count` panels B: two heads of an indexer.
 *
 *   a  f32 [MR / 2][2][k]       contiguous: the two heads of a row after one another
 *   w  f32 [MR / 2][2]          contiguous
 *   b, c                        as in `panels`, c of MR / 2 rows
 *
 * `accumulate` is OVERWRITE or ADD_LAST.
 */
export function panelsOfPairs(
  count: i32,
  a: usize,
  w: usize,
  b: usize,
  bStep: usize,
  c: usize,
  cStep: usize,
  cStride: usize,
  k: i32,
  accumulate: i32,
): void {
  const aStride = (<usize>k) << 2;
  const a1 = a + aStride;
  const a2 = a1 + aStride;
  const a3 = a2 + aStride;
  const a4 = a3 + aStride;
  const a5 = a4 + aStride;
  for (; count > 0; --count) {
    const c1 = c + cStride;
    const c2 = c1 + cStride;
    tile(a, a1, a2, a3, a4, a5, b, c, c1, c2, 0, 0, 0, k, accumulate, w);
    b += bStep;
    c += cStep;
  }
}

/** c (+)= w_0 max(0, x) + w_1 max(0, y), eight columns. */
// @ts-ignore: decorator
@inline
function storePair(c: usize, w: usize, x0: v128, x1: v128, y0: v128, y1: v128, add: bool): void {
  const zero = i32x4.splat(0);
  const wx = v128.load_splat<f32>(w);
  const wy = v128.load_splat<f32>(w, 4);
  x0 = fma(f32x4.pmax(y0, zero), wy, f32x4.mul(f32x4.pmax(x0, zero), wx));
  x1 = fma(f32x4.pmax(y1, zero), wy, f32x4.mul(f32x4.pmax(x1, zero), wx));
  if (add) {
    x0 = f32x4.add(x0, v128.load(c));
    x1 = f32x4.add(x1, v128.load(c, 16));
  }
  v128.store(c, x0);
  v128.store(c, x1, 16);
}

/** One panel, as in `panels`. */
export function panel(a: usize, aStride: usize, b: usize, c: usize, cStride: usize, k: i32, accumulate: i32): void {
  panels(1, a, aStride, b, 0, c, 0, cStride, k, accumulate);
}

/** With `pairs`, the address of weights, rows of c are sums of pairs of rows as in `panelsOfPairs`. */
// @ts-ignore: decorator
@inline
function tile(
  a0: usize,
  a1: usize,
  a2: usize,
  a3: usize,
  a4: usize,
  a5: usize,
  b: usize,
  c: usize,
  c1: usize,
  c2: usize,
  c3: usize,
  c4: usize,
  c5: usize,
  k: i32,
  accumulate: i32,
  pairs: usize,
): void {
  let acc00 = i32x4.splat(0);
  let acc01 = acc00;
  let acc10 = acc00;
  let acc11 = acc00;
  let acc20 = acc00;
  let acc21 = acc00;
  let acc30 = acc00;
  let acc31 = acc00;
  let acc40 = acc00;
  let acc41 = acc00;
  let acc50 = acc00;
  let acc51 = acc00;
  if (accumulate == ACCUMULATE) {
    acc00 = v128.load(c);
    acc01 = v128.load(c, 16);
    acc10 = v128.load(c1);
    acc11 = v128.load(c1, 16);
    acc20 = v128.load(c2);
    acc21 = v128.load(c2, 16);
    acc30 = v128.load(c3);
    acc31 = v128.load(c3, 16);
    if (ASC_FEATURE_RELAXED_SIMD) {
      acc40 = v128.load(c4);
      acc41 = v128.load(c4, 16);
      acc50 = v128.load(c5);
      acc51 = v128.load(c5, 16);
    }
  }
  let bRow = b;
  if (ASC_FEATURE_RELAXED_SIMD) {
    // four steps an iteration amortise the loop's interrupt check and, where there is no trap handler, bounds checks
    for (let left = k >> 2; left > 0; --left) {
      let b0 = v128.load(bRow);
      let b1 = v128.load(bRow, 16);
      let row = v128.load_splat<f32>(a0);
      acc00 = fma(row, b0, acc00);
      acc01 = fma(row, b1, acc01);
      row = v128.load_splat<f32>(a1);
      acc10 = fma(row, b0, acc10);
      acc11 = fma(row, b1, acc11);
      row = v128.load_splat<f32>(a2);
      acc20 = fma(row, b0, acc20);
      acc21 = fma(row, b1, acc21);
      row = v128.load_splat<f32>(a3);
      acc30 = fma(row, b0, acc30);
      acc31 = fma(row, b1, acc31);
      row = v128.load_splat<f32>(a4);
      acc40 = fma(row, b0, acc40);
      acc41 = fma(row, b1, acc41);
      row = v128.load_splat<f32>(a5);
      acc50 = fma(row, b0, acc50);
      acc51 = fma(row, b1, acc51);

      b0 = v128.load(bRow, 32);
      b1 = v128.load(bRow, 48);
      row = v128.load_splat<f32>(a0, 4);
      acc00 = fma(row, b0, acc00);
      acc01 = fma(row, b1, acc01);
      row = v128.load_splat<f32>(a1, 4);
      acc10 = fma(row, b0, acc10);
      acc11 = fma(row, b1, acc11);
      row = v128.load_splat<f32>(a2, 4);
      acc20 = fma(row, b0, acc20);
      acc21 = fma(row, b1, acc21);
      row = v128.load_splat<f32>(a3, 4);
      acc30 = fma(row, b0, acc30);
      acc31 = fma(row, b1, acc31);
      row = v128.load_splat<f32>(a4, 4);
      acc40 = fma(row, b0, acc40);
      acc41 = fma(row, b1, acc41);
      row = v128.load_splat<f32>(a5, 4);
      acc50 = fma(row, b0, acc50);
      acc51 = fma(row, b1, acc51);

      b0 = v128.load(bRow, 64);
      b1 = v128.load(bRow, 80);
      row = v128.load_splat<f32>(a0, 8);
      acc00 = fma(row, b0, acc00);
      acc01 = fma(row, b1, acc01);
      row = v128.load_splat<f32>(a1, 8);
      acc10 = fma(row, b0, acc10);
      acc11 = fma(row, b1, acc11);
      row = v128.load_splat<f32>(a2, 8);
      acc20 = fma(row, b0, acc20);
      acc21 = fma(row, b1, acc21);
      row = v128.load_splat<f32>(a3, 8);
      acc30 = fma(row, b0, acc30);
      acc31 = fma(row, b1, acc31);
      row = v128.load_splat<f32>(a4, 8);
      acc40 = fma(row, b0, acc40);
      acc41 = fma(row, b1, acc41);
      row = v128.load_splat<f32>(a5, 8);
      acc50 = fma(row, b0, acc50);
      acc51 = fma(row, b1, acc51);

      b0 = v128.load(bRow, 96);
      b1 = v128.load(bRow, 112);
      row = v128.load_splat<f32>(a0, 12);
      acc00 = fma(row, b0, acc00);
      acc01 = fma(row, b1, acc01);
      row = v128.load_splat<f32>(a1, 12);
      acc10 = fma(row, b0, acc10);
      acc11 = fma(row, b1, acc11);
      row = v128.load_splat<f32>(a2, 12);
      acc20 = fma(row, b0, acc20);
      acc21 = fma(row, b1, acc21);
      row = v128.load_splat<f32>(a3, 12);
      acc30 = fma(row, b0, acc30);
      acc31 = fma(row, b1, acc31);
      row = v128.load_splat<f32>(a4, 12);
      acc40 = fma(row, b0, acc40);
      acc41 = fma(row, b1, acc41);
      row = v128.load_splat<f32>(a5, 12);
      acc50 = fma(row, b0, acc50);
      acc51 = fma(row, b1, acc51);

      a0 += 16;
      a1 += 16;
      a2 += 16;
      a3 += 16;
      a4 += 16;
      a5 += 16;
      bRow += 128;
    }
  }
  for (let left = ASC_FEATURE_RELAXED_SIMD ? k & 3 : k; left > 0; --left) {
    const b0 = v128.load(bRow);
    const b1 = v128.load(bRow, 16);
    let row = v128.load_splat<f32>(a0);
    acc00 = fma(row, b0, acc00);
    acc01 = fma(row, b1, acc01);
    row = v128.load_splat<f32>(a1);
    acc10 = fma(row, b0, acc10);
    acc11 = fma(row, b1, acc11);
    row = v128.load_splat<f32>(a2);
    acc20 = fma(row, b0, acc20);
    acc21 = fma(row, b1, acc21);
    row = v128.load_splat<f32>(a3);
    acc30 = fma(row, b0, acc30);
    acc31 = fma(row, b1, acc31);
    if (ASC_FEATURE_RELAXED_SIMD) {
      row = v128.load_splat<f32>(a4);
      acc40 = fma(row, b0, acc40);
      acc41 = fma(row, b1, acc41);
      row = v128.load_splat<f32>(a5);
      acc50 = fma(row, b0, acc50);
      acc51 = fma(row, b1, acc51);
      a4 += 4;
      a5 += 4;
    }
    a0 += 4;
    a1 += 4;
    a2 += 4;
    a3 += 4;
    bRow += 32;
  }
  if (pairs) {
    const add = accumulate == ADD_LAST;
    storePair(c, pairs, acc00, acc01, acc10, acc11, add);
    storePair(c1, pairs + 8, acc20, acc21, acc30, acc31, add);
    if (ASC_FEATURE_RELAXED_SIMD) storePair(c2, pairs + 16, acc40, acc41, acc50, acc51, add);
    return;
  }
  if (accumulate == ADD_LAST) {
    acc00 = f32x4.add(acc00, v128.load(c));
    acc01 = f32x4.add(acc01, v128.load(c, 16));
    acc10 = f32x4.add(acc10, v128.load(c1));
    acc11 = f32x4.add(acc11, v128.load(c1, 16));
    acc20 = f32x4.add(acc20, v128.load(c2));
    acc21 = f32x4.add(acc21, v128.load(c2, 16));
    acc30 = f32x4.add(acc30, v128.load(c3));
    acc31 = f32x4.add(acc31, v128.load(c3, 16));
    if (ASC_FEATURE_RELAXED_SIMD) {
      acc40 = f32x4.add(acc40, v128.load(c4));
      acc41 = f32x4.add(acc41, v128.load(c4, 16));
      acc50 = f32x4.add(acc50, v128.load(c5));
      acc51 = f32x4.add(acc51, v128.load(c5, 16));
    }
  }
  v128.store(c, acc00);
  v128.store(c, acc01, 16);
  v128.store(c1, acc10);
  v128.store(c1, acc11, 16);
  v128.store(c2, acc20);
  v128.store(c2, acc21, 16);
  v128.store(c3, acc30);
  v128.store(c3, acc31, 16);
  if (ASC_FEATURE_RELAXED_SIMD) {
    v128.store(c4, acc40);
    v128.store(c4, acc41, 16);
    v128.store(c5, acc50);
    v128.store(c5, acc51, 16);
  }
}
