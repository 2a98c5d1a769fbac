import { SelfSimilarityParams } from '../params';
import { sum4 } from '../simd/reduce';
import { elementBytes, widenRow } from '../simd/storage';
import { fma } from '../simd/fma';

/** Sum of x^2 over n (a multiple of 4) numbers. */
function squares(x: usize, n: i32): f32 {
  let sum = i32x4.splat(0);
  for (const end = x + ((<usize>n) << 2); x < end; x += 16) {
    const v = v128.load(x);
    sum = fma(v, v, sum);
  }
  return sum4(sum);
}

/** x -= y over n numbers, y of any alignment. */
function subtract(x: usize, y: usize, n: i32): void {
  for (const end = x + ((<usize>n) << 2); x < end; x += 4, y += 4) store<f32>(x, load<f32>(x) - load<f32>(y));
}

/** sum += factor * x over n (a multiple of 4) numbers. */
function addScaled(sum: usize, x: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (const end = x + ((<usize>n) << 2); x < end; x += 16, sum += 16) {
    v128.store(sum, fma(v128.load(x), f, v128.load(sum)));
  }
}

/**
 * How alike the rows of each block of tokens are: the mean of all cosines between them, each row with itself included.
 *
 *   x     f32, f16, bf16 or i8 [B, T, H, d]   any strides, last axis contiguous
 *   mean  f32 [B, H, d]                       contiguous, subtracted from every row; may be absent
 *   o     f32 [B, ceil(T / block), H]         contiguous; must not alias an input
 *
 *   o = |sum_i x_i / |x_i||^2 / n^2 = mean_ij cos(x_i, x_j) (SpargeAttn, Zhang 2025); NaN where a row is zero.
 *
 * Item: one (batch, block), all heads. Scratch: f32 [2, ceil4(d)].
 */
export function selfSimilarity(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<SelfSimilarityParams>(params);
  const bytes = elementBytes(p.xType);
  const blocks = (p.length + p.block - 1) / p.block;
  const n = (p.d + 3) & ~3;
  const row = scratch;
  const sum = scratch + ((<usize>n) << 2);
  for (let item = begin; item < end; ++item) {
    const batch = item / blocks;
    const from = (item - batch * blocks) * p.block;
    const to = min(from + p.block, p.length);
    const count = <f32>(to - from);
    for (let h = 0; h < p.heads; ++h) {
      memory.fill(row, 0, (<usize>n) << 3);
      for (let t = from; t < to; ++t) {
        const x = p.x + <usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH) * bytes;
        widenRow(x, p.xType, row, p.d, 1);
        if (p.mean) subtract(row, p.mean + ((<usize>((batch * p.heads + h) * p.d)) << 2), p.d);
        addScaled(sum, row, n, 1 / sqrt<f32>(squares(row, n)));
      }
      store<f32>(p.o + ((<usize>(item * p.heads + h)) << 2), squares(sum, n) / (count * count));
    }
  }
}
