import { StorePagesParams } from '../params';
import { elementBytes, F32, I8 } from '../simd/storage';
import { narrowRow } from './narrow';

/** Rows whose largest number is below 2^-100 are zeros: 127 over it would overflow, and products with it be denormal. */
const LEAST: f32 = reinterpret<f32>(0x0d800000);

/** Largest |x| of n values; NaN where one is. */
function largest(x: usize, n: i32): f32 {
  let most = f32x4.splat(0);
  const whole = x + ((<usize>(n & ~3)) << 2);
  const end = x + ((<usize>n) << 2);
  for (; x < whole; x += 16) most = f32x4.max(most, f32x4.abs(v128.load(x)));
  for (; x < end; x += 4) most = f32x4.max(most, f32x4.abs(v128.load32_splat(x)));
  most = f32x4.max(most, i32x4.shuffle(most, most, 2, 3, 0, 1));
  most = f32x4.max(most, i32x4.shuffle(most, most, 1, 0, 3, 2));
  return f32x4.extract_lane(most, 0);
}

/** Four numbers in units of a code, rounded to the nearest even. */
// @ts-ignore: decorator
@inline
function codes4(x: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), inverse)));
}

/**
 * codes[n] = x / scale, scale = max |x| / 127. A row that holds NaN or an infinity has such a scale, so that it does not come back
 * as a number.
 *
 * @returns scale
 */
export function quantiseRow(x: usize, codes: usize, n: i32): f32 {
  const most = largest(x, n);
  if (most < LEAST) {
    memory.fill(codes, 0, n);
    return 0;
  }
  const inverse = f32x4.splat(127 / most);
  for (let left = n >> 4; left > 0; --left) {
    const low = i16x8.narrow_i32x4_s(codes4(x, inverse), codes4(x + 16, inverse));
    const high = i16x8.narrow_i32x4_s(codes4(x + 32, inverse), codes4(x + 48, inverse));
    v128.store(codes, i8x16.narrow_i16x8_s(low, high));
    x += 64;
    codes += 16;
  }
  for (let left = n & 15; left > 0; --left) {
    const scaled = f32x4.nearest(f32x4.mul(v128.load32_splat(x), inverse));
    store<i8>(codes, <i8>i32x4.extract_lane(i32x4.trunc_sat_f32x4_s(scaled), 0));
    x += 4;
    codes += 1;
  }
  return most / 127;
}

/** Puts one row where it belongs, in the pages' storage. */
// @ts-ignore: decorator
@inline
function storeRow(x: usize, row: usize, scale: usize, type: i32, d: i32): void {
  if (type == F32) memory.copy(row, x, (<usize>d) << 2);
  else if (type == I8) store<f32>(scale, quantiseRow(x, row, d));
  else narrowRow(x, row, type, d);
}

/**
 * Puts keys and values of tokens into pages, each a run of rows of one head.
 *
 *   k, v            f32 [T, H, d]                     any strides, last axis contiguous
 *   table           i32 [H, tableStrideH]             page of each span of pageSize slots
 *   kRows, vRows    [pages, pageSize, d]              f32, f16, bf16 or i8; pages apart by rowStride; must not alias k or v
 *   kScale, vScale  f32 [pages, pageSize]             pages apart by scaleStride; i8 only: a number is code * scale
 *
 * Token t goes to slot first + t. Item: one token, all heads.
 */
export function storePages(params: usize, begin: i32, end: i32, _scratch: usize): void {
  const p = changetype<StorePagesParams>(params);
  const bytes = elementBytes(p.type);
  for (let item = begin; item < end; ++item) {
    const slot = p.first + item;
    const index = slot / p.pageSize;
    const within = slot - index * p.pageSize;
    for (let h = 0; h < p.heads; ++h) {
      const page = load<i32>(p.table + ((<usize>(h * p.tableStrideH + index)) << 2));
      const row = (<usize>page * <usize>p.rowStride + <usize>(within * p.d)) * bytes;
      const scale = (<usize>page * <usize>p.scaleStride + <usize>within) << 2;
      const k = p.k + ((<usize>(item * p.kStrideT + h * p.kStrideH)) << 2);
      const v = p.v + ((<usize>(item * p.vStrideT + h * p.vStrideH)) << 2);
      storeRow(k, p.kRows + row, p.kScale + scale, p.type, p.d);
      storeRow(v, p.vRows + row, p.vScale + scale, p.type, p.d);
    }
  }
}
