import { max4, sum4, sum4x4 } from '../../simd/reduce';

describe('sum4', () => {
  it('adds the four lanes', () => {
    expect<f32>(sum4(f32x4(1, 20, 300, 4000))).toBe(4321);
  });

  it('passes infinity and NaN on from any lane', () => {
    expect<f32>(sum4(f32x4(1, 2, 3, Infinity))).toBe(Infinity);
    expect<f32>(sum4(f32x4(NaN, 2, 3, 4))).toBeNaN();
    expect<f32>(sum4(f32x4(1, NaN, 3, 4))).toBeNaN();
    expect<f32>(sum4(f32x4(1, 2, NaN, 4))).toBeNaN();
    expect<f32>(sum4(f32x4(1, 2, 3, NaN))).toBeNaN();
  });
});

describe('sum4x4', () => {
  it('puts the sum of each vector in its own lane', () => {
    const x = sum4x4(
      f32x4(1, 2, 4, 8),
      f32x4(16, 32, 64, 128),
      f32x4(256, 512, 1024, 2048),
      f32x4(-1, -10, -100, -1000),
    );
    expect<f32>(f32x4.extract_lane(x, 0)).toBe(15);
    expect<f32>(f32x4.extract_lane(x, 1)).toBe(240);
    expect<f32>(f32x4.extract_lane(x, 2)).toBe(3840);
    expect<f32>(f32x4.extract_lane(x, 3)).toBe(-1111);
  });

  it('adds each vector in the same order wherever it stands', () => {
    const x = f32x4(1e8, 1, -1e8, 3e-3);
    const sums = sum4x4(x, x, x, x);
    for (let i = 1; i < 4; ++i) {
      const lane =
        i == 1 ? f32x4.extract_lane(sums, 1) : i == 2 ? f32x4.extract_lane(sums, 2) : f32x4.extract_lane(sums, 3);
      expect<f32>(lane).toBe(f32x4.extract_lane(sums, 0));
    }
  });
});

describe('max4', () => {
  it('finds the largest lane in every order of four values', () => {
    const values: StaticArray<f32> = [-Infinity, -3, 0.5, 7];
    for (let order = 0; order < 256; ++order) {
      const a = order & 3;
      const b = (order >> 2) & 3;
      const c = (order >> 4) & 3;
      const d = order >> 6;
      const largest = values[max(max(a, b), max(c, d))];
      expect<f32>(max4(f32x4(values[a], values[b], values[c], values[d]))).toBe(largest, `${a} ${b} ${c} ${d}`);
    }
  });
});
