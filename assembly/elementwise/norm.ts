import { NormParams } from '../params';
import { sum4 } from '../simd/reduce';
import { squareRow } from '../simd/row';

/** Sum of n values. */
function sumRow(x: usize, n: i32): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let i: usize = 0;
  for (const whole = (<usize>(n & ~7)) << 2; i < whole; i += 32) {
    s0 = f32x4.add(s0, v128.load(x + i));
    s1 = f32x4.add(s1, v128.load(x + i, 16));
  }
  let sum = sum4(f32x4.add(s0, s1));
  for (const all = (<usize>n) << 2; i < all; i += 4) sum += load<f32>(x + i);
  return sum;
}

/**
 * RMS or layer normalisation of rows: o = (x - c) / sqrt(mean((x - c)^2) + epsilon) * weight + bias, c the mean or 0.
 *
 *   x, o          f32 [rows, n]   contiguous; o may be x
 *   weight, bias  f32 [n]         each may be absent
 *
 * Ba 2016; Zhang and Sennrich 2019. Item: one row.
 */
export function norm(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<NormParams>(params);
  const n = p.n;
  for (let item = begin; item < end; ++item) {
    const x = p.x + ((<usize>item * <usize>n) << 2);
    const o = p.o + ((<usize>item * <usize>n) << 2);
    const mean: f32 = p.centered ? sumRow(x, n) / <f32>n : 0;
    const inverse: f32 = 1 / sqrt<f32>(squareRow(x, n, mean) / <f32>n + p.epsilon);
    const m = f32x4.splat(mean);
    const factor = f32x4.splat(inverse);
    let i: usize = 0;
    for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
      let y = f32x4.mul(f32x4.sub(v128.load(x + i), m), factor);
      if (p.weight) y = f32x4.mul(y, v128.load(p.weight + i));
      if (p.bias) y = f32x4.add(y, v128.load(p.bias + i));
      v128.store(o + i, y);
    }
    for (const all = (<usize>n) << 2; i < all; i += 4) {
      let y = (load<f32>(x + i) - mean) * inverse;
      if (p.weight) y *= load<f32>(p.weight + i);
      if (p.bias) y += load<f32>(p.bias + i);
      store<f32>(o + i, y);
    }
  }
}
