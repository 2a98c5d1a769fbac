import { fma } from '../simd/fma';
import { sum4x4 } from '../simd/reduce';
import { LIST_KEYS, LIST_ROW } from './list-block';

/**
 * out[r][j] = q_r k_j for an even number of queries and keys that lie anywhere: all queries take LIST_KEYS keys, then the next ones, so
 * that each key comes from the second-level cache once.
 *
 *   q     f32 [rows, d]    rows even, d a multiple of 4; `stride` bytes apart
 *   keys  u32 [n]          addresses of f32 [d]; any n, up to five addresses past the end are read
 *   out   f32 [rows, 128]  up to five columns past n are overwritten
 */
export function scoreListedPairs(q: usize, stride: usize, rows: i32, keys: usize, out: usize, n: i32, d: i32): void {
  for (; n > 0; n -= LIST_KEYS) {
    let row = q;
    let to = out;
    for (let left = rows; left > 0; left -= 2) {
      // of the last keys no more than a few that are not there
      if (n <= 2) scoreTwo(row, row + stride, keys, to, d);
      else if (!ASC_FEATURE_RELAXED_SIMD || n <= 4) scoreFour(row, row + stride, keys, to, d);
      else scoreSix(row, row + stride, keys, to, d);
      row += stride << 1;
      to += LIST_ROW << 1;
    }
    keys += (<usize>LIST_KEYS) << 2;
    out += (<usize>LIST_KEYS) << 2;
  }
}

/** Two queries and six keys: twelve sums, as many as there are registers for. */
// @ts-ignore: decorator
@inline
function scoreSix(a: usize, b: usize, keys: usize, out: usize, d: i32): void {
  let k0: usize = load<u32>(keys);
  let k1: usize = load<u32>(keys, 4);
  let k2: usize = load<u32>(keys, 8);
  let k3: usize = load<u32>(keys, 12);
  let k4: usize = load<u32>(keys, 16);
  let k5: usize = load<u32>(keys, 20);
  let s00 = i32x4.splat(0);
  let s01 = s00;
  let s02 = s00;
  let s03 = s00;
  let s04 = s00;
  let s05 = s00;
  let s10 = s00;
  let s11 = s00;
  let s12 = s00;
  let s13 = s00;
  let s14 = s00;
  let s15 = s00;
  for (let left = d >> 3; left > 0; --left) {
    let x = v128.load(a);
    let y = v128.load(b);
    let k = v128.load(k0);
    s00 = fma(x, k, s00);
    s10 = fma(y, k, s10);
    k = v128.load(k1);
    s01 = fma(x, k, s01);
    s11 = fma(y, k, s11);
    k = v128.load(k2);
    s02 = fma(x, k, s02);
    s12 = fma(y, k, s12);
    k = v128.load(k3);
    s03 = fma(x, k, s03);
    s13 = fma(y, k, s13);
    k = v128.load(k4);
    s04 = fma(x, k, s04);
    s14 = fma(y, k, s14);
    k = v128.load(k5);
    s05 = fma(x, k, s05);
    s15 = fma(y, k, s15);
    x = v128.load(a, 16);
    y = v128.load(b, 16);
    k = v128.load(k0, 16);
    s00 = fma(x, k, s00);
    s10 = fma(y, k, s10);
    k = v128.load(k1, 16);
    s01 = fma(x, k, s01);
    s11 = fma(y, k, s11);
    k = v128.load(k2, 16);
    s02 = fma(x, k, s02);
    s12 = fma(y, k, s12);
    k = v128.load(k3, 16);
    s03 = fma(x, k, s03);
    s13 = fma(y, k, s13);
    k = v128.load(k4, 16);
    s04 = fma(x, k, s04);
    s14 = fma(y, k, s14);
    k = v128.load(k5, 16);
    s05 = fma(x, k, s05);
    s15 = fma(y, k, s15);
    a += 32;
    b += 32;
    k0 += 32;
    k1 += 32;
    k2 += 32;
    k3 += 32;
    k4 += 32;
    k5 += 32;
  }
  if (d & 4) {
    const x = v128.load(a);
    const y = v128.load(b);
    let k = v128.load(k0);
    s00 = fma(x, k, s00);
    s10 = fma(y, k, s10);
    k = v128.load(k1);
    s01 = fma(x, k, s01);
    s11 = fma(y, k, s11);
    k = v128.load(k2);
    s02 = fma(x, k, s02);
    s12 = fma(y, k, s12);
    k = v128.load(k3);
    s03 = fma(x, k, s03);
    s13 = fma(y, k, s13);
    k = v128.load(k4);
    s04 = fma(x, k, s04);
    s14 = fma(y, k, s14);
    k = v128.load(k5);
    s05 = fma(x, k, s05);
    s15 = fma(y, k, s15);
  }
  const rest = sum4x4(s04, s05, s14, s15);
  v128.store(out, sum4x4(s00, s01, s02, s03));
  v128.store64_lane(out, rest, 0, 16);
  v128.store(out, sum4x4(s10, s11, s12, s13), LIST_ROW);
  v128.store64_lane(out, rest, 1, LIST_ROW + 16);
}

/** Two queries and two keys. */
// @ts-ignore: decorator
@inline
function scoreTwo(a: usize, b: usize, keys: usize, out: usize, d: i32): void {
  let k0: usize = load<u32>(keys);
  let k1: usize = load<u32>(keys, 4);
  let s00 = i32x4.splat(0);
  let s01 = s00;
  let s10 = s00;
  let s11 = s00;
  for (let left = d >> 2; left > 0; --left) {
    const x = v128.load(a);
    const y = v128.load(b);
    let k = v128.load(k0);
    s00 = fma(x, k, s00);
    s10 = fma(y, k, s10);
    k = v128.load(k1);
    s01 = fma(x, k, s01);
    s11 = fma(y, k, s11);
    a += 16;
    b += 16;
    k0 += 16;
    k1 += 16;
  }
  const sums = sum4x4(s00, s01, s10, s11);
  v128.store64_lane(out, sums, 0);
  v128.store64_lane(out, sums, 1, LIST_ROW);
}

/** Two queries and four keys. */
// @ts-ignore: decorator
@inline
function scoreFour(a: usize, b: usize, keys: usize, out: usize, d: i32): void {
  let k0: usize = load<u32>(keys);
  let k1: usize = load<u32>(keys, 4);
  let k2: usize = load<u32>(keys, 8);
  let k3: usize = load<u32>(keys, 12);
  let s00 = i32x4.splat(0);
  let s01 = s00;
  let s02 = s00;
  let s03 = s00;
  let s10 = s00;
  let s11 = s00;
  let s12 = s00;
  let s13 = s00;
  for (let left = d >> 2; left > 0; --left) {
    const x = v128.load(a);
    const y = v128.load(b);
    let k = v128.load(k0);
    s00 = fma(x, k, s00);
    s10 = fma(y, k, s10);
    k = v128.load(k1);
    s01 = fma(x, k, s01);
    s11 = fma(y, k, s11);
    k = v128.load(k2);
    s02 = fma(x, k, s02);
    s12 = fma(y, k, s12);
    k = v128.load(k3);
    s03 = fma(x, k, s03);
    s13 = fma(y, k, s13);
    a += 16;
    b += 16;
    k0 += 16;
    k1 += 16;
    k2 += 16;
    k3 += 16;
  }
  v128.store(out, sum4x4(s00, s01, s02, s03));
  v128.store(out, sum4x4(s10, s11, s12, s13), LIST_ROW);
}

/**
 * out[j] = q k_j for one query and keys that lie anywhere.
 *
 *   q     f32 [d]     d a multiple of 4
 *   keys  u32 [n]     addresses of f32 [d]; n a multiple of 8
 *   out   f32 [n]
 */
export function scoreListed(q: usize, keys: usize, out: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const last = keys + ((<usize>n) << 2);
  for (; keys < last; keys += 32) {
    const k0: usize = load<u32>(keys);
    const k1: usize = load<u32>(keys, 4);
    const k2: usize = load<u32>(keys, 8);
    const k3: usize = load<u32>(keys, 12);
    const k4: usize = load<u32>(keys, 16);
    const k5: usize = load<u32>(keys, 20);
    const k6: usize = load<u32>(keys, 24);
    const k7: usize = load<u32>(keys, 28);
    let s0 = i32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let s4 = s0;
    let s5 = s0;
    let s6 = s0;
    let s7 = s0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(q + i);
      s0 = fma(x, v128.load(k0 + i), s0);
      s1 = fma(x, v128.load(k1 + i), s1);
      s2 = fma(x, v128.load(k2 + i), s2);
      s3 = fma(x, v128.load(k3 + i), s3);
      s4 = fma(x, v128.load(k4 + i), s4);
      s5 = fma(x, v128.load(k5 + i), s5);
      s6 = fma(x, v128.load(k6 + i), s6);
      s7 = fma(x, v128.load(k7 + i), s7);
    }
    v128.store(out, sum4x4(s0, s1, s2, s3));
    v128.store(out, sum4x4(s4, s5, s6, s7), 16);
    out += 32;
  }
}
