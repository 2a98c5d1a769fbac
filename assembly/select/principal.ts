import { PrincipalParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/** Sweeps of rotations: they converge quadratically, a dozen is more than any matrix has needed. */
const SWEEPS: i32 = 40;
/** What is left beside the diagonal, over its square, that counts as nothing. */
const NOTHING: f64 = 1e-32;

/** Bytes of scratch: covariance and directions f64 [d, d], a mean f64 [d], a row f32 [d]. */
export function principalScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<PrincipalParams>(params);
  return p.d * (16 * p.d + 8 + 4) + 16;
}

/** The mean of one head's rows, and the sums of products of what is left of them. */
function covariance(p: PrincipalParams, h: i32, a: usize, mean: usize, row: usize): void {
  const d = <usize>p.d;
  const bytes = elementBytes(p.kType);
  const count = p.batch * p.length;
  memory.fill(a, 0, (d * d) << 3);
  memory.fill(mean, 0, d << 3);
  for (let n = 0; n < count; ++n) {
    loadRow(p, n, h, row, bytes);
    for (let c: usize = 0; c < d; ++c) {
      store<f64>(mean + (c << 3), load<f64>(mean + (c << 3)) + <f64>load<f32>(row + (c << 2)) / <f64>count);
    }
  }
  for (let n = 0; n < count; ++n) {
    loadRow(p, n, h, row, bytes);
    for (let c: usize = 0; c < d; ++c) {
      const x = <f64>load<f32>(row + (c << 2)) - load<f64>(mean + (c << 3));
      const to = a + ((c * d) << 3);
      for (let e: usize = 0; e <= c; ++e) {
        const y = <f64>load<f32>(row + (e << 2)) - load<f64>(mean + (e << 3));
        store<f64>(to + (e << 3), load<f64>(to + (e << 3)) + x * y);
      }
    }
  }
  for (let c: usize = 0; c < d; ++c) {
    for (let e: usize = 0; e <= c; ++e) {
      const x = load<f64>(a + ((c * d + e) << 3)) / <f64>count;
      store<f64>(a + ((c * d + e) << 3), x);
      store<f64>(a + ((e * d + c) << 3), x);
    }
  }
}

/** Row n of all batches' rows of head h, in f32. */
// @ts-ignore: decorator
@inline
function loadRow(p: PrincipalParams, n: i32, h: i32, row: usize, bytes: usize): void {
  const b = n / p.length;
  const at =
    <usize>b * <usize>p.kStrideB + <usize>(n - b * p.length) * <usize>p.kStrideT + <usize>h * <usize>p.kStrideH;
  widenRow(p.k + at * bytes, p.kType, row, p.d, 1);
}

/** x, y = cos x - sin y, sin x + cos y over n numbers that lie `step` bytes apart. */
function rotate(x: usize, y: usize, step: usize, n: i32, cos: f64, sin: f64): void {
  for (; n > 0; --n) {
    const u = load<f64>(x);
    const v = load<f64>(y);
    store<f64>(x, cos * u - sin * v);
    store<f64>(y, sin * u + cos * v);
    x += step;
    y += step;
  }
}

/** Turns a symmetric matrix into a diagonal one by rotations, which turn the rows of `v` likewise (Jacobi 1846). */
function diagonalise(a: usize, v: usize, n: i32): void {
  const d = <usize>n;
  const rowBytes = d << 3;
  memory.fill(v, 0, d * rowBytes);
  for (let i: usize = 0; i < d; ++i) store<f64>(v + i * (rowBytes + 8), 1);
  for (let sweep = 0; sweep < SWEEPS; ++sweep) {
    let beside: f64 = 0;
    let square: f64 = 0;
    for (let i: usize = 0; i < d; ++i) {
      const x = load<f64>(a + i * (rowBytes + 8));
      square += x * x;
      for (let j: usize = 0; j < i; ++j) {
        const y = load<f64>(a + i * rowBytes + (j << 3));
        beside += y * y;
      }
    }
    if (!(beside > NOTHING * square)) return;
    for (let i: usize = 0; i + 1 < d; ++i) {
      for (let j = i + 1; j < d; ++j) {
        const off = load<f64>(a + i * rowBytes + (j << 3));
        if (off == 0) continue;
        const theta = (load<f64>(a + j * (rowBytes + 8)) - load<f64>(a + i * (rowBytes + 8))) / (2 * off);
        const t = (theta < 0 ? -1.0 : 1.0) / (abs<f64>(theta) + sqrt<f64>(theta * theta + 1));
        const cos = 1 / sqrt<f64>(t * t + 1);
        const sin = t * cos;
        rotate(a + i * rowBytes, a + j * rowBytes, 8, n, cos, sin);
        rotate(a + (i << 3), a + (j << 3), rowBytes, n, cos, sin);
        rotate(v + i * rowBytes, v + j * rowBytes, 8, n, cos, sin);
      }
    }
  }
}

/**
 * The directions in which the keys of a head vary most.
 *
 *   k          f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   basis      f32 [H, r, d]                   contiguous: orthonormal rows, the largest variance first, the largest element of each positive
 *   variances  f32 [H, r]                      contiguous
 *
 *   Principal components: eigenvectors of the covariance over batches and tokens, in f64. Loki (Singhania 2024).
 *
 * Item: one head. Scratch: principalScratchBytes.
 */
export function principalDirections(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PrincipalParams>(params);
  const d = <usize>p.d;
  const v = scratch + ((d * d) << 3);
  const mean = v + ((d * d) << 3);
  for (let h = begin; h < end; ++h) {
    covariance(p, h, scratch, mean, mean + (d << 3));
    diagonalise(scratch, v, p.d);
    for (let n = 0; n < p.r; ++n) {
      let best: usize = 0;
      let most = -Infinity;
      for (let i: usize = 0; i < d; ++i) {
        const variance = load<f64>(scratch + (i * d + i) * 8);
        if (variance > most) {
          most = variance;
          best = i;
        }
      }
      // what was taken comes no more
      store<f64>(scratch + (best * d + best) * 8, -Infinity);
      const row = v + ((best * d) << 3);
      let largest: f64 = 0;
      for (let c: usize = 0; c < d; ++c) {
        const x = load<f64>(row + (c << 3));
        if (abs<f64>(x) > abs<f64>(largest)) largest = x;
      }
      const out = p.basis + ((<usize>(h * p.r + n) * d) << 2);
      const sign: f64 = largest < 0 ? -1 : 1;
      for (let c: usize = 0; c < d; ++c) store<f32>(out + (c << 2), <f32>(sign * load<f64>(row + (c << 3))));
      store<f32>(p.variances + ((<usize>(h * p.r + n)) << 2), <f32>most);
    }
  }
}
