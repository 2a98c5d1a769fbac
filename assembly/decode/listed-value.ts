import { fma } from '../simd/fma';

/** Weights of one row of the tile of 64, in bytes. */
const ROW: usize = 256;

/**
 * acc_r += sum_j p_rj v_j for two queries and values that lie anywhere, sixteen columns a sweep.
 *
 *   p       f32 [2, 64]
 *   values  u32 [n]        addresses of f32 [d], read up to the next multiple of sixteen columns
 *   acc     f32 [2, d]     d rounded up to a multiple of 16, rows `stride` bytes apart
 */
export function mixListedPair(p: usize, values: usize, acc: usize, stride: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  const q = p + ROW;
  for (let c: usize = 0; c < bytes; c += 64) {
    const to0 = acc + c;
    const to1 = to0 + stride;
    let a0 = v128.load(to0);
    let a1 = v128.load(to0, 16);
    let a2 = v128.load(to0, 32);
    let a3 = v128.load(to0, 48);
    let b0 = v128.load(to1);
    let b1 = v128.load(to1, 16);
    let b2 = v128.load(to1, 32);
    let b3 = v128.load(to1, 48);
    let x = p;
    let y = q;
    let at = values;
    if (ASC_FEATURE_RELAXED_SIMD) {
      // two keys an iteration amortise the loop's own instructions
      for (let left = n >> 1; left > 0; --left) {
        let v = <usize>load<u32>(at) + c;
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
        v = <usize>load<u32>(at, 4) + c;
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
        at += 8;
        x += 8;
        y += 8;
      }
    }
    for (let left = ASC_FEATURE_RELAXED_SIMD ? n & 1 : n; left > 0; --left) {
      const v = <usize>load<u32>(at) + c;
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
      at += 4;
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
}

/** As mixListedPair for one query: even and odd values have sums of their own, so that no sum is waited for. */
export function mixListed(p: usize, values: usize, acc: usize, n: i32, d: i32): void {
  const bytes = (<usize>d) << 2;
  for (let c: usize = 0; c < bytes; c += 64) {
    const to = acc + c;
    let a0 = v128.load(to);
    let a1 = v128.load(to, 16);
    let a2 = v128.load(to, 32);
    let a3 = v128.load(to, 48);
    let b0 = i32x4.splat(0);
    let b1 = b0;
    let b2 = b0;
    let b3 = b0;
    let x = p;
    let at = values;
    for (let left = n >> 1; left > 0; --left) {
      const v = <usize>load<u32>(at) + c;
      const w = <usize>load<u32>(at, 4) + c;
      const even = v128.load_splat<f32>(x);
      const odd = v128.load_splat<f32>(x, 4);
      a0 = fma(even, v128.load(v), a0);
      b0 = fma(odd, v128.load(w), b0);
      a1 = fma(even, v128.load(v, 16), a1);
      b1 = fma(odd, v128.load(w, 16), b1);
      a2 = fma(even, v128.load(v, 32), a2);
      b2 = fma(odd, v128.load(w, 32), b2);
      a3 = fma(even, v128.load(v, 48), a3);
      b3 = fma(odd, v128.load(w, 48), b3);
      x += 8;
      at += 8;
    }
    if (n & 1) {
      const v = <usize>load<u32>(at) + c;
      const even = v128.load_splat<f32>(x);
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
}
