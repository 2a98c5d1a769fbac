import { activate4, GELU_TANH, NONE, RELU, SILU } from '../../simd/activation';
import { ulpSteps } from '../ulp';

const UNIT: f64 = 1.1920928955078125e-7;

function activated(x: f32, activation: i32): f32 {
  return f32x4.extract_lane(activate4(f32x4.splat(x), activation), 0);
}

function silu(x: f64): f64 {
  return x / (1 + NativeMath.exp(-x));
}

function geluTanh(x: f64): f64 {
  return 0.5 * x * (1 + NativeMath.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

describe('no activation', () => {
  it('leaves every bit', () => {
    const x = i32x4(0x7fc00123, 0x80000000, 0x00000001, 0xff800000);
    expect<bool>(i8x16.all_true(i8x16.eq(activate4(x, NONE), x))).toBe(true);
  });
});

describe('relu', () => {
  it('keeps what is positive and zeroes what is negative', () => {
    const values: StaticArray<f32> = [0, 1e-45, 1.5, 3.4e38, Infinity];
    for (let i = 0; i < values.length; ++i) {
      expect<f32>(activated(values[i], RELU)).toBe(values[i]);
      expect<f32>(activated(-values[i], RELU)).toBe(0);
    }
  });

  it('works lane by lane and keeps NaN', () => {
    const x = activate4(f32x4(-1, NaN, 2, -Infinity), RELU);
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(0);
    expect<f32>(f32x4.extract_lane(x, 1)).toBeNaN();
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(2);
    expect<f32>(f32x4.extract_lane(x, 3)).toBe(0);
  });
});

describe('silu', () => {
  it('is x / (1 + e^-x) to the rounding of its exponent', () => {
    let worst: f64 = 0;
    let at: f32 = 0;
    for (let i = -80000; i <= 80000; ++i) {
      const x = <f32>(<f64>i * 0.001037);
      const exact = silu(x);
      // -x log2(e) is rounded: that alone is |x| units in the quotient; product, exp2 and division add a few
      const error =
        NativeMath.abs(activated(x, SILU) - exact) / (NativeMath.abs(exact) * (NativeMath.abs(x) + 4) * UNIT + 1e-44);
      if (error > worst) {
        worst = error;
        at = x;
      }
    }
    expect<f64>(worst).toBeLessThanOrEqual(1, `at ${at}`);
  });

  it('vanishes for large negative values and is x for large positive ones', () => {
    const large: StaticArray<f32> = [88, 100, 200, 1000, 1e6, 1e20, 1e30, 3.4e38];
    for (let i = 0; i < large.length; ++i) {
      expect<f32>(activated(large[i], SILU)).toBe(large[i]);
      const below = activated(-large[i], SILU);
      expect<f32>(below).toBeLessThanOrEqual(0, `silu(-${large[i]})`);
      expect<f32>(below).toBeGreaterThanOrEqual(-1e-35, `silu(-${large[i]})`);
    }
    expect<f32>(activated(Infinity, SILU)).toBe(Infinity);
  });

  it('is 0 at zeros and keeps subnormals', () => {
    expect<f32>(activated(0, SILU)).toBe(0);
    expect<f32>(activated(-0, SILU)).toBe(0);
    expect<f32>(activated(1e-40, SILU)).toBe(<f32>1e-40 / 2);
  });
});

describe('gelu', () => {
  it('is its tanh form to a few units of |x|', () => {
    let worst: f64 = 0;
    let at: f32 = 0;
    for (let i = -80000; i <= 80000; ++i) {
      const x = <f32>(<f64>i * 0.000237);
      const error = NativeMath.abs(activated(x, GELU_TANH) - geluTanh(x)) / (NativeMath.abs(x) * 6 * UNIT + 1e-40);
      if (error > worst) {
        worst = error;
        at = x;
      }
    }
    expect<f64>(worst).toBeLessThanOrEqual(1, `at ${at}`);
  });

  it('vanishes for large negative values and is x for large positive ones', () => {
    const large: StaticArray<f32> = [10, 100, 1e6, 1e13, 1e20, 3.4e38];
    for (let i = 0; i < large.length; ++i) {
      expect<i64>(ulpSteps(activated(large[i], GELU_TANH), large[i])).toBeLessThanOrEqual(1);
      const below = activated(-large[i], GELU_TANH);
      expect<f32>(below).toBeLessThanOrEqual(0, `gelu(-${large[i]})`);
      expect<f32>(below).toBeGreaterThanOrEqual(-1e-35, `gelu(-${large[i]})`);
    }
    expect<f32>(activated(Infinity, GELU_TANH)).toBe(Infinity);
  });
});

describe('every activation', () => {
  it('keeps NaN in its lane', () => {
    for (let activation = NONE; activation <= GELU_TANH; ++activation) {
      const x = activate4(f32x4(1, NaN, 1, NaN), activation);
      expect<f32>(f32x4.extract_lane(x, 0)).toBe(activated(1, activation));
      expect<f32>(f32x4.extract_lane(x, 1)).toBeNaN();
      expect<f32>(f32x4.extract_lane(x, 2)).toBe(activated(1, activation));
      expect<f32>(f32x4.extract_lane(x, 3)).toBeNaN();
    }
  });
});
