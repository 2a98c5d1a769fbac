import { sum4 } from '../simd/reduce';
import { fma } from '../simd/fma';
import { squareRow } from '../simd/row';

/** Sum of n values, zeros behind them up to a whole vector. */
function sumPadded(x: usize, n: i32): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let left = n;
  for (; left > 4; left -= 8) {
    s0 = f32x4.add(s0, v128.load(x));
    s1 = f32x4.add(s1, v128.load(x, 16));
    x += 32;
  }
  if (left > 0) s0 = f32x4.add(s0, v128.load(x));
  return sum4(f32x4.add(s0, s1));
}

/** Zeros from element n of a row to the next multiple of eight. */
// @ts-ignore: decorator
@inline
function clearTail(x: usize, n: i32): void {
  for (let i = n; i & 7; ++i) store<f32>(x + ((<usize>i) << 2), 0);
}

/**
 * z = gradient with respect to z of |y - target|^2 / 2, y = LN(z) weight + bias, or y = z where there is no weight.
 *
 *   z, target, weight, bias  f32 [n]   zeros behind them up to a multiple of eight
 */
export function lossRow(z: usize, target: usize, weight: usize, bias: usize, n: i32, eps: f32): void {
  const bytes = (<usize>((n + 3) >> 2)) << 4;
  if (!weight) {
    for (let i: usize = 0; i < bytes; i += 16) v128.store(z + i, f32x4.sub(v128.load(z + i), v128.load(target + i)));
    return;
  }
  const width: f32 = <f32>n;
  const mean = sumPadded(z, n) / width;
  const inverse: f32 = 1 / sqrt<f32>(squareRow(z, n, mean) / width + eps);
  const m = f32x4.splat(mean);
  const r = f32x4.splat(inverse);
  let sums = i32x4.splat(0);
  let products = sums;
  for (let i: usize = 0; i < bytes; i += 16) {
    const w = v128.load(weight + i);
    const x = f32x4.mul(f32x4.sub(v128.load(z + i), m), r);
    const g = f32x4.mul(f32x4.sub(fma(x, w, v128.load(bias + i)), v128.load(target + i)), w);
    sums = f32x4.add(sums, g);
    products = fma(g, x, products);
  }
  const gMean = f32x4.splat(sum4(sums) / width);
  const gx = f32x4.splat(sum4(products) / width);
  for (let i: usize = 0; i < bytes; i += 16) {
    const w = v128.load(weight + i);
    const x = f32x4.mul(f32x4.sub(v128.load(z + i), m), r);
    const g = f32x4.mul(f32x4.sub(fma(x, w, v128.load(bias + i)), v128.load(target + i)), w);
    v128.store(z + i, f32x4.mul(f32x4.sub(f32x4.sub(g, gMean), f32x4.mul(x, gx)), r));
  }
  clearTail(z, n);
}

/** z = residual + y, y as in `lossRow`; `residual` may be z, or 0 for none. */
export function outputRow(z: usize, residual: usize, weight: usize, bias: usize, n: i32, eps: f32): void {
  const bytes = (<usize>((n + 3) >> 2)) << 4;
  let m = i32x4.splat(0);
  let r = f32x4.splat(1);
  if (weight) {
    const width: f32 = <f32>n;
    const mean = sumPadded(z, n) / width;
    m = f32x4.splat(mean);
    r = f32x4.splat(1 / sqrt<f32>(squareRow(z, n, mean) / width + eps));
  }
  for (let i: usize = 0; i < bytes; i += 16) {
    let y = v128.load(z + i);
    const before = residual ? v128.load(residual + i) : i32x4.splat(0);
    if (weight) y = fma(f32x4.mul(f32x4.sub(y, m), r), v128.load(weight + i), v128.load(bias + i));
    v128.store(z + i, f32x4.add(before, y));
  }
}
