import { fma, fnma } from '../../simd/fma';

// a b = 1 - 2^-46, which f32 rounds to 1
const A: f32 = 1.00000011920928955078125;
const B: f32 = 0.99999988079071044921875;
const LOST: f32 = 1.4210854715202004e-14;

function lane(x: v128, i: i32): f32 {
  if (i == 0) return f32x4.extract_lane(x, 0);
  if (i == 1) return f32x4.extract_lane(x, 1);
  if (i == 2) return f32x4.extract_lane(x, 2);
  return f32x4.extract_lane(x, 3);
}

describe('fma', () => {
  it('adds a * b to c and subtracts it from c, lane by lane', () => {
    const a = f32x4(1, -2, 3, 0.5);
    const b = f32x4(4, 5, -6, 0.25);
    const c = f32x4(10, 20, 30, -0.125);
    const sum = fma(a, b, c);
    const difference = fnma(a, b, c);
    const sums: StaticArray<f32> = [14, 10, 12, 0];
    const differences: StaticArray<f32> = [6, 30, 48, -0.25];
    for (let i = 0; i < 4; ++i) {
      expect<f32>(lane(sum, i)).toBe(sums[i]);
      expect<f32>(lane(difference, i)).toBe(differences[i]);
    }
  });

  it('rounds once or twice, and twice without relaxed SIMD', () => {
    const sum = fma(f32x4.splat(A), f32x4.splat(B), f32x4.splat(-1));
    const difference = fnma(f32x4.splat(A), f32x4.splat(B), f32x4.splat(1));
    const first = lane(sum, 0);
    if (ASC_FEATURE_RELAXED_SIMD) expect<bool>(first == 0 || first == -LOST).toBe(true);
    else expect<f32>(first).toBe(0);
    for (let i = 0; i < 4; ++i) {
      expect<f32>(lane(sum, i)).toBe(first, 'one rounding for all lanes');
      expect<f32>(lane(difference, i)).toBe(-first, 'fnma rounds as fma does');
    }
  });

  it('passes infinities and NaN on', () => {
    const infinite = f32x4.splat(Infinity);
    expect<f32>(lane(fma(infinite, f32x4.splat(2), f32x4.splat(1)), 0)).toBe(Infinity);
    expect<f32>(lane(fnma(infinite, f32x4.splat(2), f32x4.splat(1)), 0)).toBe(-Infinity);
    expect<f32>(lane(fma(infinite, f32x4.splat(0), f32x4.splat(1)), 0)).toBeNaN();
    expect<f32>(lane(fma(infinite, f32x4.splat(1), f32x4.splat(-Infinity)), 0)).toBeNaN();
    expect<f32>(lane(fma(f32x4.splat(1), f32x4.splat(1), f32x4.splat(NaN)), 0)).toBeNaN();
  });
});
