import { HeavyChannelParams, TakeChannelParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';

/** sums += |x| over all rows of one head of x [B, T, H, d]. */
function addMagnitudes(
  x: usize,
  type: i32,
  strideB: i32,
  strideT: i32,
  batch: i32,
  length: i32,
  d: i32,
  sums: usize,
  row: usize,
): void {
  const bytes = elementBytes(type);
  for (let b = 0; b < batch; ++b) {
    for (let t = 0; t < length; ++t) {
      widenRow(x + (<usize>b * <usize>strideB + <usize>t * <usize>strideT) * bytes, type, row, d, 1);
      for (let c: usize = 0; c < <usize>d; ++c) {
        store<f64>(sums + (c << 3), load<f64>(sums + (c << 3)) + <f64>abs(load<f32>(row + (c << 2))));
      }
    }
  }
}

/**
 * How much each channel has to say in the scores of a key head.
 *
 *   q        f32, f16 or bf16 [B, Tq, H, d]           any strides, last axis contiguous
 *   k        f32, f16 or bf16 [B, Tk, H / group, d]   likewise
 *   weights  f32 [H / group, d]                       contiguous
 *
 *   weight_c = sum |q_c| sum |k_c| = sum over pairs of |q_c k_c|, over its largest one. Double Sparsity (Yang 2024).
 *
 * Item: one key head. Scratch: f64 [2, d] and f32 [d].
 */
export function heavyChannels(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<HeavyChannelParams>(params);
  const sums = (<usize>p.d) << 3;
  const row = scratch + sums * 2;
  for (let h = begin; h < end; ++h) {
    memory.fill(scratch, 0, sums * 2);
    for (let g = h * p.group; g < (h + 1) * p.group; ++g) {
      const q = p.q + <usize>(g * p.qStrideH) * elementBytes(p.qType);
      addMagnitudes(q, p.qType, p.qStrideB, p.qStrideT, p.batch, p.queries, p.d, scratch, row);
    }
    const k = p.k + <usize>(h * p.kStrideH) * elementBytes(p.kType);
    addMagnitudes(k, p.kType, p.kStrideB, p.kStrideT, p.batch, p.length, p.d, scratch + sums, row);
    let most: f64 = 0;
    for (let c: usize = 0; c < sums; c += 8) {
      const product = load<f64>(scratch + c) * load<f64>(scratch + sums + c);
      store<f64>(scratch + c, product);
      if (product > most) most = product;
    }
    const factor = most > 0 && most < Infinity ? 1 / most : 1;
    for (let c: usize = 0; c < <usize>p.d; ++c) {
      store<f32>(p.weights + ((<usize>(h * p.d) + c) << 2), <f32>(load<f64>(scratch + (c << 3)) * factor));
    }
  }
}

/**
 * Some channels of rows.
 *
 *   x         f32, f16 or bf16 [B, T, H, d]   any strides, last axis contiguous
 *   channels  i32 [lists, r]                  contiguous, from 0 to d - 1; head h reads list floor(h lists / H)
 *   o         f32 [B, T, H, r]                any strides, last axis contiguous; must not alias x
 *
 * Item: one (batch, token). Scratch: f32 [d].
 */
export function takeChannels(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<TakeChannelParams>(params);
  const bytes = elementBytes(p.xType);
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    for (let h = 0; h < p.heads; ++h) {
      const at = <usize>batch * <usize>p.xStrideB + <usize>t * <usize>p.xStrideT + <usize>h * <usize>p.xStrideH;
      widenRow(p.x + at * bytes, p.xType, scratch, p.d, 1);
      const channels = p.channels + ((<usize>(((h * p.lists) / p.heads) * p.r)) << 2);
      const to = <usize>batch * <usize>p.oStrideB + <usize>t * <usize>p.oStrideT + <usize>h * <usize>p.oStrideH;
      const o = p.o + (to << 2);
      for (let n: usize = 0; n < (<usize>p.r) << 2; n += 4) {
        store<f32>(o + n, load<f32>(scratch + ((<usize>load<i32>(channels + n)) << 2)));
      }
    }
  }
}
