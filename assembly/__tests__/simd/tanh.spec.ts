import { tanh4 } from '../../simd/tanh';
import { ulpSteps } from '../ulp';

function tanh(x: f32): f32 {
  return f32x4.extract_lane(tanh4(f32x4.splat(x)), 0);
}

describe('tanh', () => {
  it('is within 6 ulp from the smallest subnormal to the largest number', () => {
    let most: i64 = 0;
    for (let bits: u32 = 0; bits < 0x7f800000; bits += 3001) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(tanh(x), NativeMath.tanh(<f64>x)));
    }
    expect<i64>(most).toBeLessThanOrEqual(6);
  });

  it('is odd and never beyond 1', () => {
    let wrong = 0;
    for (let bits: u32 = 0; bits <= 0x7f800000; bits += 1024) {
      const x = reinterpret<f32>(bits);
      const y = tanh(x);
      if (y < 0 || y > 1 || reinterpret<u32>(tanh(-x)) != (reinterpret<u32>(y) | 0x80000000)) wrong += 1;
    }
    expect<i32>(wrong).toBe(0);
  });

  it('saturates at infinity', () => {
    expect<i64>(ulpSteps(tanh(Infinity), 1)).toBeLessThanOrEqual(6);
    expect<i64>(ulpSteps(tanh(-Infinity), -1)).toBeLessThanOrEqual(6);
  });

  it('is NaN for NaN, and only in its lane', () => {
    const x = tanh4(f32x4(0.5, NaN, -0.5, NaN));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(tanh(0.5));
    expect<f32>(f32x4.extract_lane(x, 1)).toBeNaN();
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(-tanh(0.5));
    expect<f32>(f32x4.extract_lane(x, 3)).toBeNaN();
  });
});
