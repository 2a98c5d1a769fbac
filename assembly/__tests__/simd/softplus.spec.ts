import { logSigmoid4, softplus4 } from '../../simd/softplus';
import { ulpSteps } from '../ulp';

function softplus(x: f32): f32 {
  return f32x4.extract_lane(softplus4(f32x4.splat(x)), 0);
}

function exact(x: f64): f64 {
  return NativeMath.max(x, 0) + NativeMath.log1p(NativeMath.exp(-NativeMath.abs(x)));
}

describe('softplus', () => {
  it('is within 4 ulp from -86.9 up', () => {
    let most: i64 = 0;
    for (let x: f64 = -86.9; x < 200; x += 0.00071) {
      const rounded = <f32>x;
      most = max(most, ulpSteps(softplus(rounded), exact(<f64>rounded)));
    }
    expect<i64>(most).toBeLessThanOrEqual(4);
  });

  it('is x far above zero and zero far below', () => {
    expect<f32>(softplus(1e30)).toBe(1e30);
    expect<f32>(softplus(Infinity)).toBe(Infinity);
    expect<f32>(softplus(-1e30)).toBe(0);
    expect<f32>(softplus(-Infinity)).toBe(0);
    expect<f32>(softplus(NaN)).toBeNaN();
  });
});

describe('logSigmoid', () => {
  it('is -softplus(-x)', () => {
    const x = logSigmoid4(f32x4(-3, 40, -1e30, NaN));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(-softplus(3));
    expect<f32>(f32x4.extract_lane(x, 1)).toBe(-softplus(-40));
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(-1e30);
    expect<f32>(f32x4.extract_lane(x, 3)).toBeNaN();
  });
});
