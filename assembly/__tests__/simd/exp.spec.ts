import { exp1, exp4 } from '../../simd/exp';
import { ulpSteps } from '../ulp';

/** Most steps from the nearest f32 over x = from, from + step, ... below to. */
function worst(from: f64, to: f64, step: f64): i64 {
  let most: i64 = 0;
  for (let x = from; x < to; x += step) {
    const rounded = <f32>x;
    most = max(most, ulpSteps(exp1(rounded), NativeMath.exp(<f64>rounded)));
  }
  return most;
}

describe('exp', () => {
  it('is within 2 ulp from -86.9 to 88.72', () => {
    expect<i64>(worst(-86.9, 88.72, 0.00037)).toBeLessThanOrEqual(2);
  });

  it('is within 2 ulp near zero, down to the smallest subnormal', () => {
    let most: i64 = 0;
    for (let bits: u32 = 0; bits < 0x3f800000; bits += 7919) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(exp1(x), NativeMath.exp(<f64>x)));
      most = max(most, ulpSteps(exp1(-x), NativeMath.exp(-(<f64>x))));
    }
    expect<i64>(most).toBeLessThanOrEqual(2);
  });

  it('is exactly 1 at zero, and never above it below zero', () => {
    expect<f32>(exp1(0)).toBe(1);
    expect<f32>(exp1(-0)).toBe(1);
    let above = 0;
    for (let bits: u32 = 0x80000000; bits < 0xc2c80000; bits += 7919) {
      if (exp1(reinterpret<f32>(bits)) > 1) above += 1;
    }
    expect<i32>(above).toBe(0);
  });

  it('overflows to infinity and underflows to zero', () => {
    const above: StaticArray<f32> = [88.73, 89, 100, 1e6, 1e30, Infinity];
    for (let i = 0; i < above.length; ++i) expect<f32>(exp1(above[i])).toBe(Infinity, `e^${above[i]}`);
    const below: StaticArray<f32> = [-87, -88, -104, -1e6, -8388608, -12582912, -1e30, -Infinity];
    for (let i = 0; i < below.length; ++i) {
      expect<u32>(reinterpret<u32>(exp1(below[i]))).toBe(0, `e^${below[i]}`);
    }
  });

  it('is NaN for NaN, and only in its lane', () => {
    const x = exp4(f32x4(-0.7, NaN, -101, 12.3));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(exp1(-0.7));
    expect<f32>(f32x4.extract_lane(x, 1)).toBeNaN();
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(0);
    expect<f32>(f32x4.extract_lane(x, 3)).toBe(exp1(12.3));
  });
});
