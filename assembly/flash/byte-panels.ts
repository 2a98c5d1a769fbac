import { ONES_16 } from '../simd/constants';
import { fma } from '../simd/fma';

/** Bytes before the codes of a byte panel. */
export const PANEL_HEAD: usize = 64;

/** Bytes of a panel of eight columns whose sums have k terms. */
// @ts-ignore: decorator
@inline
export function bytePanelBytes(k: i32): usize {
  return PANEL_HEAD + ((<usize>((k + 7) & ~7)) << 3);
}

/** c = s * column * row + c, eight columns; `keep` has no bits where what c held counts for nothing. */
// @ts-ignore: decorator
@inline
function finishRow(c: usize, s0: v128, s1: v128, column0: v128, column1: v128, unit: usize, keep: v128): void {
  const row = v128.load32_splat(unit);
  const x0 = f32x4.mul(f32x4.convert_i32x4_s(s0), column0);
  const x1 = f32x4.mul(f32x4.convert_i32x4_s(s1), column1);
  v128.store(c, fma(x0, row, v128.and(v128.load(c), keep)));
  v128.store(c, fma(x1, row, v128.and(v128.load(c, 16), keep)), 16);
}

/** Sums of two neighbouring products, x 7 bits without a sign. */
// @ts-ignore: decorator
@inline
function dotPairs(b: v128, x: v128): v128 {
  return i16x8.relaxed_dot_i8x16_i7x16_s(b, x);
}

/** Eight products for each of four columns, added to their sums. */
// @ts-ignore: decorator
@inline
function dotEights(b: v128, x: v128, next: v128, y: v128, ones: v128, sum: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(i16x8.add(dotPairs(b, x), dotPairs(next, y)), ones));
}

/** Three rows of one panel on the relaxed dot product: codes of rows are 7 bits without a sign, 4 * 127 * 63 fits 16 bits. */
function dotTile(
  a: usize,
  aStride: usize,
  units: usize,
  head: usize,
  b: usize,
  c: usize,
  cStride: usize,
  octets: i32,
  add: bool,
): void {
  const ones = v128.load(ONES_16);
  let s00 = v128.load(head);
  let s01 = v128.load(head, 16);
  let s10 = s00;
  let s11 = s01;
  let s20 = s00;
  let s21 = s01;
  let a1 = a + aStride;
  let a2 = a1 + aStride;
  for (; octets > 0; --octets) {
    const b00 = v128.load(b);
    const b01 = v128.load(b, 16);
    const b10 = v128.load(b, 32);
    const b11 = v128.load(b, 48);
    let x = v128.load32_splat(a);
    let y = v128.load32_splat(a, 4);
    s00 = dotEights(b00, x, b10, y, ones, s00);
    s01 = dotEights(b01, x, b11, y, ones, s01);
    x = v128.load32_splat(a1);
    y = v128.load32_splat(a1, 4);
    s10 = dotEights(b00, x, b10, y, ones, s10);
    s11 = dotEights(b01, x, b11, y, ones, s11);
    x = v128.load32_splat(a2);
    y = v128.load32_splat(a2, 4);
    s20 = dotEights(b00, x, b10, y, ones, s20);
    s21 = dotEights(b01, x, b11, y, ones, s21);
    a += 8;
    a1 += 8;
    a2 += 8;
    b += 64;
  }
  const keep = i32x4.splat(add ? -1 : 0);
  const column0 = v128.load(head, 32);
  const column1 = v128.load(head, 48);
  finishRow(c, s00, s01, column0, column1, units, keep);
  finishRow(c + cStride, s10, s11, column0, column1, units + 4, keep);
  finishRow(c + cStride * 2, s20, s21, column0, column1, units + 8, keep);
}

/** Sums of neighbours: [low 0 + 1, low 2 + 3, high 0 + 1, high 2 + 3]. */
// @ts-ignore: decorator
@inline
function joinPairs(low: v128, high: v128): v128 {
  return i32x4.add(i32x4.shuffle(low, high, 0, 2, 4, 6), i32x4.shuffle(low, high, 1, 3, 5, 7));
}

/** Two rows of one panel by products of 16 bits; codes of rows have a sign. */
function productTile(
  a: usize,
  aStride: usize,
  units: usize,
  head: usize,
  b: usize,
  c: usize,
  cStride: usize,
  octets: i32,
  add: bool,
): void {
  let s00 = i32x4.splat(0);
  let s01 = s00;
  let s02 = s00;
  let s03 = s00;
  let s10 = s00;
  let s11 = s00;
  let s12 = s00;
  let s13 = s00;
  let a1 = a + aStride;
  for (let quads = octets << 1; quads > 0; --quads) {
    const low = v128.load(b);
    const high = v128.load(b, 16);
    const b0 = i16x8.extend_low_i8x16_s(low);
    const b1 = i16x8.extend_high_i8x16_s(low);
    const b2 = i16x8.extend_low_i8x16_s(high);
    const b3 = i16x8.extend_high_i8x16_s(high);
    let x = i16x8.extend_low_i8x16_s(v128.load32_splat(a));
    s00 = i32x4.add(s00, i32x4.dot_i16x8_s(b0, x));
    s01 = i32x4.add(s01, i32x4.dot_i16x8_s(b1, x));
    s02 = i32x4.add(s02, i32x4.dot_i16x8_s(b2, x));
    s03 = i32x4.add(s03, i32x4.dot_i16x8_s(b3, x));
    x = i16x8.extend_low_i8x16_s(v128.load32_splat(a1));
    s10 = i32x4.add(s10, i32x4.dot_i16x8_s(b0, x));
    s11 = i32x4.add(s11, i32x4.dot_i16x8_s(b1, x));
    s12 = i32x4.add(s12, i32x4.dot_i16x8_s(b2, x));
    s13 = i32x4.add(s13, i32x4.dot_i16x8_s(b3, x));
    a += 4;
    a1 += 4;
    b += 32;
  }
  const keep = i32x4.splat(add ? -1 : 0);
  const column0 = v128.load(head, 32);
  const column1 = v128.load(head, 48);
  finishRow(c, joinPairs(s00, s01), joinPairs(s02, s03), column0, column1, units, keep);
  finishRow(c + cStride, joinPairs(s10, s11), joinPairs(s12, s13), column0, column1, units + 4, keep);
}

/**
 * C[MR][8] (+)= units[MR] columns[8] (A[MR][k] B[k][8] + offsets[8]) for `count` panels B, in exact integer sums.
 *
 *   a      i8 or, if `dot`, u7 [MR][ceil8(k)]   rows `aStride` bytes apart; padding meets zeros in b
 *   units  f32 [MR]
 *   b      panels `bStep` bytes apart: i32 [8] offsets, f32 [8] columns, then i8 [ceil8(k) / 4][8][4] codes
 *   c      f32 [count][MR][8]                   rows `cStride` bytes apart, tiles `cStep`; must not alias a or b
 *
 * The first of the k terms is at `skip` bytes of a panel's codes. With `dot` (relaxed builds only) the codes of b are at most 63 in
 * magnitude; offsets are left out without it. Only the first `live` rows are needed.
 */
export function bytePanels(
  live: i32,
  count: i32,
  a: usize,
  aStride: usize,
  units: usize,
  b: usize,
  bStep: usize,
  skip: usize,
  c: usize,
  cStep: usize,
  cStride: usize,
  k: i32,
  add: bool,
  dot: bool,
): void {
  const octets = (k + 7) >> 3;
  for (; count > 0; --count) {
    const codes = b + PANEL_HEAD + skip;
    if (ASC_FEATURE_RELAXED_SIMD && dot) {
      for (let r = 0; r < live; r += 3) {
        const row = <usize>r;
        dotTile(a + row * aStride, aStride, units + (row << 2), b, codes, c + row * cStride, cStride, octets, add);
      }
    } else {
      for (let r = 0; r < live; r += 2) {
        const row = <usize>r;
        productTile(a + row * aStride, aStride, units + (row << 2), b, codes, c + row * cStride, cStride, octets, add);
      }
    }
    b += bStep;
    c += cStep;
  }
}
