import { CenteredConvParams } from '../params';
import { fma } from '../simd/fma';

/** o[n] += weight * x[n] */
function addScaledRow(x: usize, o: usize, n: i32, weight: f32): void {
  const w = f32x4.splat(weight);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    v128.store(o + i, fma(v128.load(x + i), w, v128.load(o + i)));
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    store<f32>(o + i, load<f32>(o + i) + load<f32>(x + i) * weight);
  }
}

/**
 * Convolution along time with the taps of each head, around every token; tokens past the ends are zeros.
 *
 *   x       f32 [B, T, H, d]   any strides, last axis contiguous
 *   weight  f32 [H, taps]      contiguous, taps odd
 *   o       f32 [B, T, H, d]   any strides, last axis contiguous; must not alias x
 *
 *   o_t = sum_w weight[w] x[t + w - (taps - 1) / 2]
 *
 * The residual of Nyströmformer (Xiong 2021). Item: one (batch, time), all heads.
 */
export function centeredConv(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<CenteredConvParams>(params);
  const reach = (p.taps - 1) / 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / p.length;
    const t = item - batch * p.length;
    const first = max(0, t - reach);
    const last = min(p.length - 1, t + reach);
    for (let h = 0; h < p.heads; ++h) {
      const o = p.o + ((<usize>(batch * p.oStrideB + t * p.oStrideT + h * p.oStrideH)) << 2);
      memory.fill(o, 0, (<usize>p.d) << 2);
      for (let s = first; s <= last; ++s) {
        const x = p.x + ((<usize>(batch * p.xStrideB + s * p.xStrideT + h * p.xStrideH)) << 2);
        const weight = load<f32>(p.weight + ((<usize>(h * p.taps + s - t + reach)) << 2));
        addScaledRow(x, o, p.d, weight);
      }
    }
  }
}
