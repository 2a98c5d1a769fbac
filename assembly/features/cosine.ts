import { CosineParams } from '../params';
import { featureRow, inputRow, storeLanes } from './row';

/** o[n] = factor * max(x[n], 0). */
function scaleRelu(x: usize, o: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  const zero = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(o + i, f32x4.mul(f32x4.pmax(v128.load(x + i), zero), f));
  }
  storeLanes(o + i, f32x4.mul(f32x4.pmax(v128.load(x + i), zero), f), n & 3);
}

/**
 * o = [r sin a_t, r cos a_t], r = max(x, 0): products of two features fade with the cosine of their angles' difference.
 *
 *   x         f32 [B, T, H, d]   any strides, last axis contiguous
 *   cos, sin  f32 [T]            of the angles a_t
 *   o         f32 [B, T, H, 2d]  contiguous; must not alias x
 *
 * Qin 2022 (cosFormer). Item: one row.
 */
export function featureCosine(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CosineParams>(params);
  for (let item = begin; item < end; ++item) {
    const x = inputRow(p, item);
    const o = featureRow(p, item);
    const t = (<usize>((item / p.heads) % p.length)) << 2;
    scaleRelu(x, o, p.d, load<f32>(p.sin + t));
    scaleRelu(x, o + ((<usize>p.d) << 2), p.d, load<f32>(p.cos + t));
  }
}
