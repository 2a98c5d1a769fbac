import { fma } from '../simd/fma';
import { sum4 } from '../simd/reduce';

/** Euclidean norm of f32 [d]. By Cauchy and Schwarz no score is above the product of a query's and a key's. */
function rowNorm(x: usize, d: i32): f32 {
  let sum = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(d & ~3)) << 2; i < whole; i += 16) {
    const v = v128.load(x + i);
    sum = fma(v, v, sum);
  }
  let total = sum4(sum);
  for (const all = (<usize>d) << 2; i < all; i += 4) total += load<f32>(x + i) * load<f32>(x + i);
  return sqrt<f32>(total);
}

/** Largest norm of `rows` rows, `stride` bytes apart; NaN if any is. */
export function largestNorm(x: usize, stride: usize, rows: i32, d: i32): f32 {
  let most: f32 = 0;
  for (let r = 0; r < rows; ++r) most = max<f32>(most, rowNorm(x + <usize>r * stride, d));
  return most;
}
