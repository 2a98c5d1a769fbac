import { DpfpParams } from '../params';
import { featureRow, inputRow, storeLanes } from './row';

/** both[4n] = [r, r], r = [max(x, 0), max(-x, 0)]: any rotation of r is a window of it. */
function rectify(x: usize, both: usize, n: i32): void {
  const zero = i32x4.splat(0);
  const half = (<usize>n) << 2;
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const y = v128.load(x + i);
    v128.store(both + i, f32x4.pmax(y, zero));
    v128.store(both + half + i, f32x4.pmax(f32x4.neg(y), zero));
  }
  const y = v128.load(x + i);
  storeLanes(both + i, f32x4.pmax(y, zero), n & 3);
  storeLanes(both + half + i, f32x4.pmax(f32x4.neg(y), zero), n & 3);
  memory.copy(both + half * 2, both, half * 2);
}

/** o[n] = a[n] * b[n]. */
function multiplyRow(a: usize, b: usize, o: usize, n: i32): void {
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(o + i, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  }
  storeLanes(o + i, f32x4.mul(v128.load(a + i), v128.load(b + i)), n & 3);
}

/**
 * Deterministic parameter-free projection: o = [r * roll(r, 1), ..., r * roll(r, shifts)], r = [max(x, 0), max(-x, 0)],
 * roll(r, i)[j] = r[j - i].
 *
 *   x  f32 [B, T, H, d]            any strides, last axis contiguous
 *   o  f32 [B, T, H, 2d * shifts]  contiguous; must not alias x
 *
 * Schlag 2021. Item: one row. Scratch: 4d + 4 floats.
 */
export function featureDpfp(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DpfpParams>(params);
  const n = 2 * p.d;
  for (let item = begin; item < end; ++item) {
    rectify(inputRow(p, item), scratch, p.d);
    let o = featureRow(p, item);
    for (let shift = 1; shift <= p.shifts; ++shift) {
      multiplyRow(scratch, scratch + ((<usize>(n - (shift % n))) << 2), o, n);
      o += (<usize>n) << 2;
    }
  }
}
