import { RELU, SILU } from '../simd/activation';
import { GELU_1, GELU_3, GELU_SLOPE, ONE } from '../simd/constants';
import { fma } from '../simd/fma';
import { sigmoid4 } from '../simd/sigmoid';

/** y = activation(x) and, where it is wanted, the slope there, for n values up to whole vectors; each may be x. */
export function activateRow(x: usize, y: usize, slope: usize, n: i32, activation: i32): void {
  const one = v128.load(ONE);
  const g1 = v128.load(GELU_1);
  const g3 = v128.load(GELU_3);
  const gs = v128.load(GELU_SLOPE);
  const end = x + ((<usize>n) << 2);
  for (; x < end; x += 16) {
    const z = v128.load(x);
    let value: v128;
    let rise: v128;
    if (activation == RELU) {
      const positive = f32x4.gt(z, i32x4.splat(0));
      value = v128.and(z, positive);
      rise = v128.and(one, positive);
    } else if (activation == SILU) {
      const s = sigmoid4(z);
      value = f32x4.mul(z, s);
      rise = fma(value, f32x4.sub(one, s), s);
    } else {
      const squared = f32x4.mul(z, z);
      const s = sigmoid4(f32x4.mul(z, fma(squared, g3, g1)));
      value = f32x4.mul(z, s);
      rise = fma(f32x4.mul(value, f32x4.sub(one, s)), fma(squared, gs, g1), s);
    }
    v128.store(y, value);
    y += 16;
    if (slope) {
      v128.store(slope, rise);
      slope += 16;
    }
  }
}
