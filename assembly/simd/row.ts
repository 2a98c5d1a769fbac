import { fma } from './fma';
import { max4, sum4 } from './reduce';

/** Largest of n values; NaN is passed over. */
export function maxRow(x: usize, n: i32): f32 {
  // one chain of maxima would wait for each
  let most = f32x4.splat(-Infinity);
  let most1 = most;
  let most2 = most;
  let most3 = most;
  let i: usize = 0;
  for (const whole = (<usize>(n & ~15)) << 2; i < whole; i += 64) {
    most = f32x4.pmax(most, v128.load(x + i));
    most1 = f32x4.pmax(most1, v128.load(x + i, 16));
    most2 = f32x4.pmax(most2, v128.load(x + i, 32));
    most3 = f32x4.pmax(most3, v128.load(x + i, 48));
  }
  most = f32x4.pmax(f32x4.pmax(most, most1), f32x4.pmax(most2, most3));
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) most = f32x4.pmax(most, v128.load(x + i));
  let result = max4(most);
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const value = load<f32>(x + i);
    if (value > result) result = value;
  }
  return result;
}

/** Largest |x| of n values; NaN is passed over. */
export function maxAbsRow(x: usize, n: i32): f32 {
  let most = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) most = f32x4.pmax(most, f32x4.abs(v128.load(x + i)));
  let result = max4(most);
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const value = abs(load<f32>(x + i));
    if (value > result) result = value;
  }
  return result;
}

/** Sum of (x - mean)^2 over n values. */
export function squareRow(x: usize, n: i32, mean: f32): f32 {
  const m = f32x4.splat(mean);
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let i: usize = 0;
  for (const whole = (<usize>(n & ~7)) << 2; i < whole; i += 32) {
    const d0 = f32x4.sub(v128.load(x + i), m);
    const d1 = f32x4.sub(v128.load(x + i, 16), m);
    s0 = fma(d0, d0, s0);
    s1 = fma(d1, d1, s1);
  }
  let sum = sum4(f32x4.add(s0, s1));
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const d = load<f32>(x + i) - mean;
    sum += d * d;
  }
  return sum;
}
