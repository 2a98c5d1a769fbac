import { FeatureSoftmaxParams } from '../params';
import { exp1, exp4 } from '../simd/exp';
import { sum4 } from '../simd/reduce';
import { maxAbsRow, maxRow } from '../simd/row';
import { featureRow, inputRow, scaleRow } from './row';

/** o = e^(scale * x - most) over n values; returns their sum. */
function expRow(x: usize, o: usize, n: i32, scale: f32, most: f32): f32 {
  const s = f32x4.splat(scale);
  const m = f32x4.splat(most);
  let sums = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const w = exp4(f32x4.sub(f32x4.mul(v128.load(x + i), s), m));
    v128.store(o + i, w);
    sums = f32x4.add(sums, w);
  }
  let sum = sum4(sums);
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const w = exp1(load<f32>(x + i) * scale - most);
    store<f32>(o + i, w);
    sum += w;
  }
  return sum;
}

/**
 * Softmax of each row of scale * x, or of [scale * x, -scale * x] (mirrored). A row of -Infinity becomes zeros.
 *
 *   x  f32 [B, T, H, d]  any strides, last axis contiguous
 *   o  f32 [B, T, H, F]  contiguous; F is d, or 2d mirrored; may be x if not mirrored
 *
 * Zhang 2024 (Hedgehog: mirrored). Item: one row.
 */
export function featureSoftmax(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<FeatureSoftmaxParams>(params);
  const n = p.d;
  for (let item = begin; item < end; ++item) {
    const x = inputRow(p, item);
    const o = featureRow(p, item);
    const most = p.scale * (p.mirrored ? maxAbsRow(x, n) : maxRow(x, n));
    // among values that are all -Infinity any finite reference gives zeros
    const reference: f32 = most == -Infinity ? 0 : most;
    let sum = expRow(x, o, n, p.scale, reference);
    if (p.mirrored) sum += expRow(x, o + ((<usize>n) << 2), n, -p.scale, reference);
    scaleRow(o, o, p.features, sum == 0 ? <f32>0 : 1 / sum);
  }
}
