import { HALF_EXPONENTS, HALF_FIELDS } from './constants';

// Element types a tensor may be stored in. Arithmetic is always f32.
export const F32: i32 = 0;
export const F16: i32 = 1;
export const BF16: i32 = 2;
export const I8: i32 = 3;

/** Bytes of one element of a storage type. */
// @ts-ignore: decorator
@inline
export function elementBytes(type: i32): usize {
  return type == F32 ? 4 : type == I8 ? 1 : 2;
}

/** Four halves (zero-extended to 32-bit lanes) to f32, exact for subnormals, infinities and NaN. */
// @ts-ignore: decorator
@inline
export function halfToF32(h: v128): v128 {
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  // an exponent of all ones stays all ones; every other one is rebased by a multiplication, which also normalises subnormals
  const special = i32x4.ge_s(magnitude, i32x4.splat(0x0f800000));
  const rebased = f32x4.mul(magnitude, i32x4.splat(0x77800000));
  const value = v128.bitselect(v128.or(magnitude, i32x4.splat(0x7f800000)), rebased, special);
  return v128.or(value, sign);
}

/** Loads four elements of a storage type as f32. */
// @ts-ignore: decorator
@inline
function load4(src: usize, type: i32): v128 {
  if (type == F32) return v128.load(src);
  if (type == F16) return halfToF32(v128.load16x4_u(src));
  if (type == BF16) return i32x4.shl(v128.load16x4_u(src), 16);
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load_zero<u32>(src))));
}

/** Loads one element of a storage type as f32. */
// @ts-ignore: decorator
@inline
function load1(src: usize, type: i32): f32 {
  if (type == F32) return load<f32>(src);
  if (type == F16) return f32x4.extract_lane(halfToF32(i32x4.splat(<i32>load<u16>(src))), 0);
  if (type == BF16) return reinterpret<f32>((<u32>load<u16>(src)) << 16);
  return <f32>load<i8>(src);
}

/**
 * dst[n] = scale * src[n] for halves: shifted into place their exponent is 112 too small, which the factor mends,
 * subnormals included. Infinities and NaN, found eight at a time, take the exact way.
 */
function widenHalves(src: usize, dst: usize, n: i32, scale: f32): void {
  const fields = v128.load(HALF_FIELDS);
  const exponents = v128.load(HALF_EXPONENTS);
  const factor = f32x4.splat(scale * reinterpret<f32>(0x77800000));
  const exact = f32x4.splat(scale);
  for (let left = n >> 3; left > 0; --left) {
    if (v128.any_true(i16x8.eq(v128.and(v128.load(src), exponents), exponents))) {
      v128.store(dst, f32x4.mul(halfToF32(v128.load16x4_u(src)), exact));
      v128.store(dst, f32x4.mul(halfToF32(v128.load16x4_u(src, 8)), exact), 16);
    } else {
      v128.store(dst, f32x4.mul(v128.and(i32x4.shl(v128.load16x4_s(src), 13), fields), factor));
      v128.store(dst, f32x4.mul(v128.and(i32x4.shl(v128.load16x4_s(src, 8), 13), fields), factor), 16);
    }
    src += 16;
    dst += 32;
  }
  for (let left = n & 7; left > 0; --left) {
    store<f32>(dst, load1(src, F16) * scale);
    src += 2;
    dst += 4;
  }
}

/** dst[n] = scale * src[n], one storage type at a time so that no loop asks for it. */
// @ts-ignore: decorator
@inline
function widenAs(src: usize, type: i32, dst: usize, n: i32, scale: f32): void {
  const step = elementBytes(type) << 2;
  const factor = f32x4.splat(scale);
  for (let left = n >> 4; left > 0; --left) {
    const x0 = load4(src, type);
    const x1 = load4(src + step, type);
    const x2 = load4(src + 2 * step, type);
    const x3 = load4(src + 3 * step, type);
    v128.store(dst, f32x4.mul(x0, factor));
    v128.store(dst, f32x4.mul(x1, factor), 16);
    v128.store(dst, f32x4.mul(x2, factor), 32);
    v128.store(dst, f32x4.mul(x3, factor), 48);
    src += 4 * step;
    dst += 64;
  }
  for (let left = (n & 15) >> 2; left > 0; --left) {
    v128.store(dst, f32x4.mul(load4(src, type), factor));
    src += step;
    dst += 16;
  }
  for (let left = n & 3; left > 0; --left) {
    store<f32>(dst, load1(src, type) * scale);
    src += step >> 2;
    dst += 4;
  }
}

/** dst[n] = scale * src[n], from any storage type to f32; neither needs alignment. */
export function widenRow(src: usize, type: i32, dst: usize, n: i32, scale: f32): void {
  if (type == F32) widenAs(src, F32, dst, n, scale);
  else if (type == F16 && !(abs(scale) >= 65536)) widenHalves(src, dst, n, scale);
  else if (type == BF16) widenAs(src, BF16, dst, n, scale);
  else if (type == F16) widenAs(src, F16, dst, n, scale);
  else widenAs(src, I8, dst, n, scale);
}

/** Round-to-nearest-even f32 to half bits; overflow gives infinity, NaN stays NaN. */
export function f32ToHalf(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return <u16>(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return <u16>(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // adding 1/2 leaves the subnormal's bits, rounded, at the bottom of the mantissa
    const rounded = reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000;
    return <u16>(sign | rounded);
  }
  const odd = (magnitude >> 13) & 1;
  return <u16>(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

/** Round-to-nearest-even f32 to bfloat16 bits; NaN stays NaN. */
export function f32ToBf16(x: f32): u16 {
  const bits = reinterpret<u32>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return <u16>((bits >> 16) | 0x40);
  return <u16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
