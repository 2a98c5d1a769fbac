import { CombineParams, GatherParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/**
 * Rows of chosen tokens, widened: o_i = x[token_i, memory_i].
 *
 *   x     f32, f16 or bf16 [B, T, M, H, d]   any strides (0 repeats), last axis contiguous
 *   rows  i32 [items, 2]                     token batch * T + t and memory of each row
 *   o     f32 [items, H, d]                  contiguous; must not alias x
 *
 * Item: one row, all heads.
 */
export function gather(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<GatherParams>(params);
  const bytes = elementBytes(p.xType);
  for (let item = begin; item < end; ++item) {
    const token = load<i32>(p.rows + ((<usize>item) << 3));
    const memory = load<i32>(p.rows + ((<usize>item) << 3), 4);
    const batch = token / p.length;
    const element =
      <usize>batch * <usize>p.xStrideB +
      <usize>(token - batch * p.length) * <usize>p.xStrideT +
      <usize>memory * <usize>p.xStrideM;
    for (let h = 0; h < p.heads; ++h) {
      const x = p.x + (element + <usize>h * <usize>p.xStrideH) * bytes;
      widenRow(x, p.xType, p.o + ((<usize>(item * p.heads + h) * <usize>p.d) << 2), p.d, 1);
    }
  }
}

/** o += weight * x over n values, or o = weight * x. */
function addRow(x: usize, o: usize, n: i32, weight: f32, add: i32): void {
  const factor = f32x4.splat(weight);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const y = f32x4.mul(v128.load(x + i), factor);
    v128.store(o + i, add ? f32x4.add(v128.load(o + i), y) : y);
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const y = load<f32>(x + i) * weight;
    store<f32>(o + i, add ? load<f32>(o + i) + y : y);
  }
}

/**
 * Weighted sums of rows back at their tokens: o_t = sum_e weight_e x[row_e] over the entries of token t, zeros without any.
 *
 *   x        f32 [rows, H, d]      contiguous
 *   offsets  i32 [B * T + 1]       first entry of each token
 *   entries  (i32, f32) [entries]  row and weight
 *   o        f32 [B, T, H, d]      any strides, last axis contiguous; must not alias x
 *
 * Item: one token, all heads.
 */
export function combine(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CombineParams>(params);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    const first = load<i32>(p.offsets + ((<usize>item) << 2));
    const last = load<i32>(p.offsets + ((<usize>item) << 2), 4);
    for (let h = 0; h < p.heads; ++h) {
      const o = p.o + ((<usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH)) << 2);
      if (first == last) memory.fill(o, 0, (<usize>p.d) << 2);
      for (let e = first; e < last; ++e) {
        const row = load<i32>(p.entries + ((<usize>e) << 3));
        const weight = load<f32>(p.entries + ((<usize>e) << 3), 4);
        addRow(p.x + ((<usize>(row * p.heads + h) * <usize>p.d) << 2), o, p.d, weight, e > first ? 1 : 0);
      }
    }
  }
}
