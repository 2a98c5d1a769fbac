/** Values of `quantization`; 0 is none. */
export const INT8: i32 = 1;
export const SAGE: i32 = 2;
export const SAGE2: i32 = 3;
export const SAGE3: i32 = 4;
export const FP8: i32 = 5;

/** Whether scores are sums of products of 8-bit integers; the other kinds are f32 products of rounded numbers. */
// @ts-ignore: decorator
@inline
export function scoresInBytes(quantization: i32): bool {
  return quantization == INT8 || quantization == SAGE;
}

/** Largest code of keys, values and queries: with 63, two pairs of products by codes up to 127 stay within 16 bits. */
// @ts-ignore: decorator
@inline
export function mostCode(quantization: i32): f32 {
  return quantization == INT8 ? 63 : 127;
}

/** What is added to the codes of queries so that none is negative. */
export const QUERY_OFFSET: i32 = 64;

/** The unit of codes up to `steps` for magnitudes up to `most`: 0 where all of them count as zero, NaN where one is not finite. */
export function unitOf(most: f32, steps: f32): f32 {
  return most < Infinity ? (most > 1e-30 ? most / steps : 0) : NaN;
}

/** What numbers are multiplied by to become codes. */
export function factorOf(most: f32, steps: f32): f32 {
  return most > 1e-30 && most < Infinity ? steps / most : 0;
}

/** Four codes round(x factor), halves away from zero, as i32; 0 for NaN. */
export function codes4(x: v128, factor: v128): v128 {
  const scaled = f32x4.mul(x, factor);
  const half = v128.or(v128.and(scaled, f32x4.splat(-0.0)), f32x4.splat(0.5));
  return i32x4.trunc_sat_f32x4_s(f32x4.add(scaled, half));
}

/** Largest magnitude of f32 [n], n a multiple of 4; NaN if any value is. */
export function mostOf(x: usize, n: i32): f32 {
  let most = i32x4.splat(0);
  for (const end = x + ((<usize>n) << 2); x < end; x += 16) most = f32x4.max(most, f32x4.abs(v128.load(x)));
  const pairs = f32x4.max(most, i32x4.shuffle(most, most, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}
