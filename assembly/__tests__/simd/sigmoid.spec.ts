import { sigmoid4 } from '../../simd/sigmoid';
import { ulpSteps } from '../ulp';

function sigmoid(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}

describe('sigmoid', () => {
  it('is within 4 ulp wherever its exponential is finite', () => {
    let most: i64 = 0;
    for (let x: f64 = -86.9; x < 100; x += 0.00037) {
      const rounded = <f32>x;
      most = max(most, ulpSteps(sigmoid(rounded), 1 / (1 + NativeMath.exp(-(<f64>rounded)))));
    }
    expect<i64>(most).toBeLessThanOrEqual(4);
  });

  it('saturates at 0 and 1, is 1/2 at zero and NaN for NaN', () => {
    const x = sigmoid4(f32x4(-Infinity, Infinity, 0, NaN));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(0);
    expect<f32>(f32x4.extract_lane(x, 1)).toBe(1);
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(0.5);
    expect<f32>(f32x4.extract_lane(x, 3)).toBeNaN();
  });
});
