import { fma } from '../simd/fma';
import { LIST_ROW } from './list-block';

/**
 * acc_r += sum_j p_rj v_j for an even number of queries and values that lie anywhere: all queries take some columns of every value, then
 * the next columns, so that each line comes from the second-level cache once.
 *
 *   p       f32 [rows, 128]   rows even
 *   values  u32 [n]           addresses of f32 [d], read up to the next multiple of sixteen columns
 *   acc     f32 [rows, d]     d rounded up to a multiple of 16, rows `stride` bytes apart
 */
export function mixListedPairs(p: usize, rows: i32, values: usize, acc: usize, stride: usize, n: i32, d: i32): void {
  const bytes = ((<usize>(d + 15)) & ~15) << 2;
  let c: usize = 0;
  while (c < bytes) {
    // twelve sums are as many as there are registers for
    const wide = ASC_FEATURE_RELAXED_SIMD && c + 96 <= bytes && bytes - c != 128;
    let weights = p;
    let to = acc + c;
    for (let left = rows; left > 0; left -= 2) {
      if (wide) mixWide(weights, weights + LIST_ROW, values, c, to, to + stride, n);
      else mixPair(weights, weights + LIST_ROW, values, c, to, to + stride, n);
      weights += LIST_ROW << 1;
      to += stride << 1;
    }
    c += wide ? 96 : 64;
  }
}

/** Twenty-four columns from byte c of the values on, two queries. */
function mixWide(x: usize, y: usize, values: usize, c: usize, to0: usize, to1: usize, n: i32): void {
  let a0 = v128.load(to0);
  let a1 = v128.load(to0, 16);
  let a2 = v128.load(to0, 32);
  let a3 = v128.load(to0, 48);
  let a4 = v128.load(to0, 64);
  let a5 = v128.load(to0, 80);
  let b0 = v128.load(to1);
  let b1 = v128.load(to1, 16);
  let b2 = v128.load(to1, 32);
  let b3 = v128.load(to1, 48);
  let b4 = v128.load(to1, 64);
  let b5 = v128.load(to1, 80);
  for (const last = values + ((<usize>n) << 2); values < last; values += 4) {
    const v = <usize>load<u32>(values) + c;
    const px = v128.load_splat<f32>(x);
    const py = v128.load_splat<f32>(y);
    let row = v128.load(v);
    a0 = fma(px, row, a0);
    b0 = fma(py, row, b0);
    row = v128.load(v, 16);
    a1 = fma(px, row, a1);
    b1 = fma(py, row, b1);
    row = v128.load(v, 32);
    a2 = fma(px, row, a2);
    b2 = fma(py, row, b2);
    row = v128.load(v, 48);
    a3 = fma(px, row, a3);
    b3 = fma(py, row, b3);
    row = v128.load(v, 64);
    a4 = fma(px, row, a4);
    b4 = fma(py, row, b4);
    row = v128.load(v, 80);
    a5 = fma(px, row, a5);
    b5 = fma(py, row, b5);
    x += 4;
    y += 4;
  }
  v128.store(to0, a0);
  v128.store(to0, a1, 16);
  v128.store(to0, a2, 32);
  v128.store(to0, a3, 48);
  v128.store(to0, a4, 64);
  v128.store(to0, a5, 80);
  v128.store(to1, b0);
  v128.store(to1, b1, 16);
  v128.store(to1, b2, 32);
  v128.store(to1, b3, 48);
  v128.store(to1, b4, 64);
  v128.store(to1, b5, 80);
}

/** Sixteen columns from byte c of the values on, two queries. */
function mixPair(x: usize, y: usize, values: usize, c: usize, to0: usize, to1: usize, n: i32): void {
  let a0 = v128.load(to0);
  let a1 = v128.load(to0, 16);
  let a2 = v128.load(to0, 32);
  let a3 = v128.load(to0, 48);
  let b0 = v128.load(to1);
  let b1 = v128.load(to1, 16);
  let b2 = v128.load(to1, 32);
  let b3 = v128.load(to1, 48);
  if (ASC_FEATURE_RELAXED_SIMD) {
    // two keys an iteration amortise the loop's own instructions
    for (let left = n >> 1; left > 0; --left) {
      let v = <usize>load<u32>(values) + c;
      let px = v128.load_splat<f32>(x);
      let py = v128.load_splat<f32>(y);
      let row = v128.load(v);
      a0 = fma(px, row, a0);
      b0 = fma(py, row, b0);
      row = v128.load(v, 16);
      a1 = fma(px, row, a1);
      b1 = fma(py, row, b1);
      row = v128.load(v, 32);
      a2 = fma(px, row, a2);
      b2 = fma(py, row, b2);
      row = v128.load(v, 48);
      a3 = fma(px, row, a3);
      b3 = fma(py, row, b3);
      v = <usize>load<u32>(values, 4) + c;
      px = v128.load_splat<f32>(x, 4);
      py = v128.load_splat<f32>(y, 4);
      row = v128.load(v);
      a0 = fma(px, row, a0);
      b0 = fma(py, row, b0);
      row = v128.load(v, 16);
      a1 = fma(px, row, a1);
      b1 = fma(py, row, b1);
      row = v128.load(v, 32);
      a2 = fma(px, row, a2);
      b2 = fma(py, row, b2);
      row = v128.load(v, 48);
      a3 = fma(px, row, a3);
      b3 = fma(py, row, b3);
      values += 8;
      x += 8;
      y += 8;
    }
  }
  for (let left = ASC_FEATURE_RELAXED_SIMD ? n & 1 : n; left > 0; --left) {
    const v = <usize>load<u32>(values) + c;
    const px = v128.load_splat<f32>(x);
    const py = v128.load_splat<f32>(y);
    let row = v128.load(v);
    a0 = fma(px, row, a0);
    b0 = fma(py, row, b0);
    row = v128.load(v, 16);
    a1 = fma(px, row, a1);
    b1 = fma(py, row, b1);
    row = v128.load(v, 32);
    a2 = fma(px, row, a2);
    b2 = fma(py, row, b2);
    row = v128.load(v, 48);
    a3 = fma(px, row, a3);
    b3 = fma(py, row, b3);
    values += 4;
    x += 4;
    y += 4;
  }
  v128.store(to0, a0);
  v128.store(to0, a1, 16);
  v128.store(to0, a2, 32);
  v128.store(to0, a3, 48);
  v128.store(to1, b0);
  v128.store(to1, b1, 16);
  v128.store(to1, b2, 32);
  v128.store(to1, b3, 48);
}

/**
 * As mixListedPairs for one query, thirty-two columns a sweep: values are read up to the next multiple of sixteen columns, and the rest
 * of a last sweep takes even and odd keys apart, so that no sum is waited for.
 */
export function mixListed(p: usize, values: usize, acc: usize, n: i32, d: i32): void {
  const bytes = ((<usize>(d + 15)) & ~15) << 2;
  let c: usize = 0;
  for (; c + 128 <= bytes; c += 128) {
    const to = acc + c;
    let a0 = v128.load(to);
    let a1 = v128.load(to, 16);
    let a2 = v128.load(to, 32);
    let a3 = v128.load(to, 48);
    let a4 = v128.load(to, 64);
    let a5 = v128.load(to, 80);
    let a6 = v128.load(to, 96);
    let a7 = v128.load(to, 112);
    let x = p;
    let at = values;
    for (let left = n; left > 0; --left) {
      const v = <usize>load<u32>(at) + c;
      const weight = v128.load_splat<f32>(x);
      a0 = fma(weight, v128.load(v), a0);
      a1 = fma(weight, v128.load(v, 16), a1);
      a2 = fma(weight, v128.load(v, 32), a2);
      a3 = fma(weight, v128.load(v, 48), a3);
      a4 = fma(weight, v128.load(v, 64), a4);
      a5 = fma(weight, v128.load(v, 80), a5);
      a6 = fma(weight, v128.load(v, 96), a6);
      a7 = fma(weight, v128.load(v, 112), a7);
      x += 4;
      at += 4;
    }
    v128.store(to, a0);
    v128.store(to, a1, 16);
    v128.store(to, a2, 32);
    v128.store(to, a3, 48);
    v128.store(to, a4, 64);
    v128.store(to, a5, 80);
    v128.store(to, a6, 96);
    v128.store(to, a7, 112);
  }
  if (c < bytes) mixSixteen(p, values, acc + c, c, n);
}

/** Sixteen columns from byte c of the values on. */
function mixSixteen(p: usize, values: usize, to: usize, c: usize, n: i32): void {
  let a0 = v128.load(to);
  let a1 = v128.load(to, 16);
  let a2 = v128.load(to, 32);
  let a3 = v128.load(to, 48);
  let b0 = i32x4.splat(0);
  let b1 = b0;
  let b2 = b0;
  let b3 = b0;
  for (let left = n >> 1; left > 0; --left) {
    const v = <usize>load<u32>(values) + c;
    const w = <usize>load<u32>(values, 4) + c;
    const even = v128.load_splat<f32>(p);
    const odd = v128.load_splat<f32>(p, 4);
    a0 = fma(even, v128.load(v), a0);
    b0 = fma(odd, v128.load(w), b0);
    a1 = fma(even, v128.load(v, 16), a1);
    b1 = fma(odd, v128.load(w, 16), b1);
    a2 = fma(even, v128.load(v, 32), a2);
    b2 = fma(odd, v128.load(w, 32), b2);
    a3 = fma(even, v128.load(v, 48), a3);
    b3 = fma(odd, v128.load(w, 48), b3);
    p += 8;
    values += 8;
  }
  if (n & 1) {
    const v = <usize>load<u32>(values) + c;
    const even = v128.load_splat<f32>(p);
    a0 = fma(even, v128.load(v), a0);
    a1 = fma(even, v128.load(v, 16), a1);
    a2 = fma(even, v128.load(v, 32), a2);
    a3 = fma(even, v128.load(v, 48), a3);
  }
  v128.store(to, f32x4.add(a0, b0));
  v128.store(to, f32x4.add(a1, b1), 16);
  v128.store(to, f32x4.add(a2, b2), 32);
  v128.store(to, f32x4.add(a3, b3), 48);
}
