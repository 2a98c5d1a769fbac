import { EXP2_1, EXP2_2, EXP2_3, EXP2_4, EXP2_5, EXP2_FLUSH, ONE, ROUND } from '../../simd/constants';
import { exp2, exp2With } from '../../simd/exp2';
import { ulpSteps } from '../ulp';

function exp2x4(x: v128): v128 {
  return exp2With(
    x,
    v128.load(ROUND),
    v128.load(EXP2_1),
    v128.load(EXP2_2),
    v128.load(EXP2_3),
    v128.load(EXP2_4),
    v128.load(EXP2_5),
    v128.load(ONE),
    v128.load(EXP2_FLUSH),
  );
}

/** Most steps from the nearest f32 over x = from, from + step, ... below to. */
function worst(from: f64, to: f64, step: f64): i64 {
  let most: i64 = 0;
  for (let x = from; x < to; x += step) {
    const rounded = <f32>x;
    most = max(most, ulpSteps(exp2(rounded), NativeMath.exp2(<f64>rounded)));
  }
  return most;
}

describe('exp2', () => {
  it('is exact at the integers from -100 to 127', () => {
    for (let n = -100; n <= 127; ++n) {
      expect<u32>(reinterpret<u32>(exp2(<f32>n))).toBe((<u32>(n + 127)) << 23, `2^${n}`);
    }
  });

  it('is within 2 ulp from -100 to 127', () => {
    expect<i64>(worst(-100, 127, 0.000511)).toBeLessThanOrEqual(2);
  });

  it('is within 2 ulp on both sides of every tie between integers', () => {
    for (let n = -100; n < 127; ++n) {
      expect<i64>(worst(<f64>n + 0.4999, <f64>n + 0.5001, 0.0000037)).toBeLessThanOrEqual(2);
    }
  });

  it('is within 2 ulp near zero, down to the smallest subnormal', () => {
    let most: i64 = 0;
    for (let bits: u32 = 0; bits < 0x3f800000; bits += 7919) {
      const x = reinterpret<f32>(bits);
      most = max(most, ulpSteps(exp2(x), NativeMath.exp2(<f64>x)));
      most = max(most, ulpSteps(exp2(-x), NativeMath.exp2(-(<f64>x))));
    }
    expect<i64>(most).toBeLessThanOrEqual(2);
  });

  it('is at most 1 at and below zero, so that no softmax weight exceeds its maximum', () => {
    let above = 0;
    for (let bits: u32 = 0x80000000; bits < 0xc2c80000; bits += 7919) {
      if (exp2(reinterpret<f32>(bits)) > 1) above += 1;
    }
    expect<i32>(above).toBe(0);
  });

  it('keeps -100 and is positive zero below it', () => {
    expect<f32>(exp2(-100)).toBe(7.888609052210118e-31);
    const below: StaticArray<f32> = [-101, -126, -127, -128, -150, -1000, -8388608, -12582912, -1e30, -Infinity];
    expect<u32>(reinterpret<u32>(exp2(reinterpret<f32>(0xc2c80001)))).toBe(0, 'the next value below -100');
    for (let i = 0; i < below.length; ++i) {
      expect<u32>(reinterpret<u32>(exp2(below[i]))).toBe(0, `2^${below[i]}`);
    }
  });

  it('is NaN for every NaN, whatever its sign and payload', () => {
    const nans: StaticArray<u32> = [
      0x7fc00000, 0xffc00000, 0x7f800001, 0x7fc00001, 0x7fc000ff, 0x7fc001ff, 0x7fe00100, 0x7fffffff, 0xffffffff,
    ];
    let lost = 0;
    for (let i = 0; i < nans.length; ++i) {
      // a NaN passes through memory: as an f32 argument an engine may change its bits
      const x = v128.load_splat<u32>(changetype<usize>(nans) + ((<usize>i) << 2));
      if (!isNaN(f32x4.extract_lane(exp2x4(x), 0))) lost += 1;
    }
    expect<i32>(lost).toBe(0);
  });

  it('treats its lanes alike and apart', () => {
    const x = exp2x4(f32x4(-0.7, NaN, -101, 12.3));
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(exp2(-0.7));
    expect<f32>(f32x4.extract_lane(x, 1)).toBeNaN();
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(0);
    expect<f32>(f32x4.extract_lane(x, 3)).toBe(exp2(12.3));
  });
});
