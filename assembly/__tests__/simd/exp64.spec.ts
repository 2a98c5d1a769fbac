import { exp64, turn64 } from '../../simd/exp64';

describe('exp64', () => {
  it('is within 4e-16 of the exponential over its whole range', () => {
    let most: f64 = 0;
    for (let i = -70000; i <= 70000; ++i) {
      const x = <f64>i * 0.0100001;
      most = max(most, NativeMath.abs(exp64(x) / NativeMath.exp(x) - 1));
    }
    expect<f64>(most).toBeLessThanOrEqual(4e-16);
  });

  it('is exact at 0, 0 and infinite at the ends, NaN for NaN', () => {
    expect<f64>(exp64(0)).toBe(1);
    expect<f64>(exp64(-1e9)).toBe(0);
    expect<f64>(exp64(-Infinity)).toBe(0);
    expect<f64>(exp64(Infinity)).toBe(Infinity);
    expect<bool>(isNaN(exp64(NaN))).toBe(true);
  });
});

describe('turn64', () => {
  it('is within 4e-16 of cosine and sine, for arguments up to a million', () => {
    const at = memory.data(16, 16);
    let most: f64 = 0;
    for (let i = -200000; i <= 200000; ++i) {
      const x = i & 1 ? <f64>i * 5.0000123 : <f64>i * 0.00012345;
      turn64(x, at);
      most = max(most, NativeMath.abs(load<f64>(at) - NativeMath.cos(x)));
      most = max(most, NativeMath.abs(load<f64>(at, 8) - NativeMath.sin(x)));
    }
    expect<f64>(most).toBeLessThanOrEqual(4e-16);
  });
});
