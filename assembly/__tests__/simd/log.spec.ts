import { ln } from '../../simd/log';

describe('ln', () => {
  it('is within 1e-13 for every exponent of a positive f32, subnormal ones included', () => {
    let most: f64 = 0;
    let worst: f64 = 0;
    for (let exponent = 1023 - 149; exponent <= 1023 + 127; ++exponent) {
      for (let i: u64 = 0; i < 1024; ++i) {
        const x = reinterpret<f64>(((<u64>exponent) << 52) | ((i * 0x9e3779b97f4a7c15) >> 12));
        const error = NativeMath.abs(ln(x) - NativeMath.log(x));
        if (error > most) {
          most = error;
          worst = x;
        }
      }
    }
    expect<f64>(most).toBeLessThanOrEqual(1e-13, `at ${worst}`);
  });

  it('keeps its relative accuracy near 1, where the logarithm vanishes', () => {
    let most: f64 = 0;
    for (let i = 1; i < 4096; ++i) {
      const d = reinterpret<f64>((<u64>(1023 - (i & 31) - 1)) << 52) * (1 + <f64>i / 4096);
      most = max(most, NativeMath.abs(ln(1 + d) / NativeMath.log(1 + d) - 1));
      if (d < 0.9) most = max(most, NativeMath.abs(ln(1 - d) / NativeMath.log(1 - d) - 1));
    }
    expect<f64>(most).toBeLessThanOrEqual(1e-14);
  });

  it('is continuous where the mantissa is halved, and exact at 1', () => {
    expect<f64>(ln(1)).toBe(0);
    const root = 1.4142135623730951;
    const above = reinterpret<f64>(reinterpret<u64>(root) + 1);
    expect<f64>(NativeMath.abs(ln(root) - NativeMath.log(root))).toBeLessThanOrEqual(1e-15);
    expect<f64>(NativeMath.abs(ln(above) - NativeMath.log(above))).toBeLessThanOrEqual(1e-15);
  });

  it('takes what the kernels give it: f32 sums from the smallest weight to many keys', () => {
    expect<f64>(NativeMath.abs(ln(7.888609052210118e-31) + 100 * 0.6931471805599453)).toBeLessThanOrEqual(1e-13);
    expect<f64>(NativeMath.abs(ln(1048576) - 20 * 0.6931471805599453)).toBeLessThanOrEqual(1e-13);
  });
});
