import { codes4, factorOf, mostOf, unitOf } from './quantization';

/** Largest numbers of e4m3 and of e2m1. */
export const E4M3_MOST: f32 = 448;
export const E2M1_MOST: f32 = 6;
/** Elements that share a scale in NVFP4. */
export const FP4_GROUP: i32 = 16;

/**
 * Four numbers rounded to floats of few bits, ties to even, at most `most` in magnitude; NaN stays.
 *
 *   least   bits of the least normal power of two
 *   magic   (23 - mantissa bits) << 23: a number 1.5 * 2^that above x leaves no digits behind the last one kept
 */
function roundFloat(x: v128, least: i32, magic: i32, most: f32): v128 {
  const magnitude = f32x4.pmin(f32x4.abs(x), f32x4.splat(most));
  const power = i32x4.max_s(v128.and(magnitude, i32x4.splat(0x7f800000)), i32x4.splat(least));
  const large = v128.or(i32x4.add(power, i32x4.splat(magic)), i32x4.splat(0x00400000));
  const rounded = f32x4.sub(f32x4.add(magnitude, large), large);
  const signed = v128.or(rounded, v128.and(x, f32x4.splat(-0.0)));
  return v128.bitselect(signed, x, f32x4.eq(x, x));
}

/** Nearest e4m3: 3 bits of mantissa, least normal 2^-6. */
export function e4m3(x: v128): v128 {
  return roundFloat(x, 0x3c800000, 20 << 23, E4M3_MOST);
}

/** Nearest e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign. */
export function e2m1(x: v128): v128 {
  return roundFloat(x, 0x3f800000, 22 << 23, E2M1_MOST);
}

/** x[n] as e4m3, or int8 codes, of x / unit, times unit; n a multiple of 4. */
export function roundScaled(x: usize, n: i32, most: f32, integers: bool): void {
  const steps: f32 = integers ? 127 : E4M3_MOST;
  const factor = f32x4.splat(factorOf(most, steps));
  const unit = f32x4.splat(unitOf(most, steps));
  for (const end = x + ((<usize>n) << 2); x < end; x += 16) {
    const y = v128.load(x);
    const rounded = integers ? f32x4.convert_i32x4_s(codes4(y, factor)) : e4m3(f32x4.mul(y, factor));
    v128.store(x, f32x4.mul(rounded, unit));
  }
}

/** Scale of a group in NVFP4; NaN where a number of it is not finite. */
export function fp4Scale(most: f32): f32 {
  if (!(most < Infinity)) return NaN;
  return f32x4.extract_lane(e4m3(f32x4.splat(most / E2M1_MOST)), 0);
}

/** x[n] in NVFP4, groups of 16 along it; n a multiple of 4. A group's last number may be missing. */
export function roundFp4(x: usize, n: i32): void {
  for (let i = 0; i < n; i += FP4_GROUP) {
    const count = min(FP4_GROUP, n - i);
    const from = x + ((<usize>i) << 2);
    const scale = fp4Scale(mostOf(from, count));
    const unit = f32x4.splat(scale);
    const factor = f32x4.splat(scale == 0 ? 0 : 1 / scale);
    for (let at = from, end = from + ((<usize>count) << 2); at < end; at += 16) {
      v128.store(at, f32x4.mul(e2m1(f32x4.mul(v128.load(at), factor)), unit));
    }
  }
}

/** Sign of element i of a Hadamard rotation: uneven, so that no common part of all channels gathers in one of them. */
// @ts-ignore: decorator
@inline
function signOf(i: i32): f32 {
  return (<u32>i * 0x9e3779b1) >> 31 ? -1 : 1;
}

/** x[d], with zeros up to the next power of two n, turned by H D / sqrt(n), H the Hadamard matrix and D signs: products of rows stay. */
export function turnHadamard(x: usize, d: i32): void {
  const n = 1 << (32 - <i32>clz(d - 1));
  const scale: f32 = 1 / sqrt<f32>(<f32>n);
  for (let i = 0; i < d; ++i) {
    const at = x + ((<usize>i) << 2);
    store<f32>(at, load<f32>(at) * signOf(i) * scale);
  }
  for (let half = 1; half < n; half <<= 1) {
    const step = (<usize>half) << 2;
    for (let i = 0; i < n; ++i) {
      if (i & half) continue;
      const at = x + ((<usize>i) << 2);
      const a = load<f32>(at);
      const b = load<f32>(at + step);
      store<f32>(at, a + b);
      store<f32>(at + step, a - b);
    }
  }
}
