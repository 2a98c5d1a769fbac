import { log1p4, log4 } from '../../simd/log4';
import { ulpSteps } from '../ulp';

function log(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0);
}

function log1p(u: f32): f32 {
  return f32x4.extract_lane(log1p4(f32x4.splat(u)), 0);
}

describe('log4', () => {
  it('is within 2 ulp of every positive number, subnormals included', () => {
    let most: i64 = 0;
    for (let bits: u32 = 1; bits < 0x7f800000; bits += 3001) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(log(x), NativeMath.log(<f64>x)));
    }
    expect<i64>(most).toBeLessThanOrEqual(2);
  });

  it('is within 2 ulp near 1, where it vanishes, and at the seam at sqrt(1/2)', () => {
    let most: i64 = 0;
    for (let bits: u32 = 0x3f350000; bits < 0x3f350a00; ++bits) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(log(x), NativeMath.log(<f64>x)));
    }
    for (let bits: u32 = 0x3f7ff000; bits < 0x3f801000; ++bits) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(log(x), NativeMath.log(<f64>x)));
    }
    expect<i64>(most).toBeLessThanOrEqual(2);
    expect<f32>(log(1)).toBe(0);
  });

  it('treats its lanes apart: zero, negative, infinite, NaN', () => {
    const a = log4(f32x4(0, -0, Infinity, 2));
    expect<f32>(f32x4.extract_lane(a, 0)).toBe(-Infinity);
    expect<f32>(f32x4.extract_lane(a, 1)).toBe(-Infinity);
    expect<f32>(f32x4.extract_lane(a, 2)).toBe(Infinity);
    expect<f32>(f32x4.extract_lane(a, 3)).toBe(log(2));
    const b = log4(f32x4(-1, NaN, -Infinity, 1e-45));
    expect<f32>(f32x4.extract_lane(b, 0)).toBeNaN();
    expect<f32>(f32x4.extract_lane(b, 1)).toBeNaN();
    expect<f32>(f32x4.extract_lane(b, 2)).toBeNaN();
    expect<i64>(ulpSteps(f32x4.extract_lane(b, 3), NativeMath.log(<f64>(<f32>1e-45)))).toBeLessThanOrEqual(2);
  });
});

describe('log1p4', () => {
  it('is within 3 ulp from 0 to 1', () => {
    let most: i64 = 0;
    for (let bits: u32 = 0x00800000; bits <= 0x3f800000; bits += 3001) {
      const u = reinterpret<f32>(bits);
      most = max(most, ulpSteps(log1p(u), NativeMath.log1p(<f64>u)));
    }
    expect<i64>(most).toBeLessThanOrEqual(3);
    expect<f32>(log1p(0)).toBe(0);
    expect<f32>(log1p(NaN)).toBeNaN();
  });
});
