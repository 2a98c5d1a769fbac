import { StorePagesParams } from '../params';
import { sum4 } from '../simd/reduce';
import { elementBytes, F32, I8 } from '../simd/storage';
import { narrowRow } from './narrow';

/** Rows whose largest number is below 2^-100 are zeros: 127 over it would overflow, and products with it be denormal. */
const LEAST: f32 = reinterpret<f32>(0x0d800000);

/** Units that are tried for a row, and how they grow. */
const TRIALS = 41;
/** Longer rows try fewer: their rests average out whatever the unit. */
const SHORT_ROW = 32;
const LONG_ROW_TRIALS = 9;
const STEP: f32 = 1.0 / 80;

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
 * The unit in which the codes of n numbers miss them least, of units from max |x| / 127 up to half as much again.
 *
 * With y = x / unit, codes c = round(y) and rests r = y - c the best scale is unit * (1 + r c / c c), and what is missed is
 * unit^2 * (r r - (r c)^2 / c c). Short rows gain most: all of their numbers may happen to lie near multiples of one unit.
 *
 * @param scale address of an f32: the scale that goes with the unit.
 */
function bestUnit(x: usize, n: i32, most: f32, scale: usize): f32 {
  const least: f32 = most / 127;
  let unit = least;
  let fewest: f32 = Infinity;
  const trials = n <= SHORT_ROW ? TRIALS : LONG_ROW_TRIALS;
  for (let trial = 0; trial < trials; ++trial) {
    const growth: f32 = <f32>1 + <f32>trial * STEP;
    const tried: f32 = least * growth;
    const inverse: f32 = <f32>1 / tried;
    const factor = f32x4.splat(inverse);
    let rr4 = f32x4.splat(0);
    let rc4 = f32x4.splat(0);
    let cc4 = f32x4.splat(0);
    let at = x;
    for (let left = n >> 2; left > 0; --left) {
      const y = f32x4.mul(v128.load(at), factor);
      const c = f32x4.nearest(y);
      const r = f32x4.sub(y, c);
      rr4 = f32x4.add(rr4, f32x4.mul(r, r));
      rc4 = f32x4.add(rc4, f32x4.mul(r, c));
      cc4 = f32x4.add(cc4, f32x4.mul(c, c));
      at += 16;
    }
    let rr = sum4(rr4);
    let rc = sum4(rc4);
    let cc = sum4(cc4);
    for (let left = n & 3; left > 0; --left) {
      const y = load<f32>(at) * inverse;
      const c = nearest(y);
      rr += (y - c) * (y - c);
      rc += (y - c) * c;
      cc += c * c;
      at += 4;
    }
    const missed = (rr - (rc / cc) * rc) * (growth * growth);
    if (missed < fewest) {
      fewest = missed;
      unit = tried;
      store<f32>(scale, tried + tried * (rc / cc));
    }
  }
  return unit;
}

/**
 * Codes of n numbers in 8 bits and the scale that they are to be multiplied by. A row that holds NaN or an infinity has such a scale and
 * codes of 1: nothing of it comes back finite.
 */
export function quantiseRow(x: usize, codes: usize, scale: usize, n: i32): void {
  const most = largest(x, n);
  if (!(most >= LEAST && most < Infinity)) {
    memory.fill(codes, most < LEAST ? 0 : 1, n);
    store<f32>(scale, most < LEAST ? 0 : most);
    return;
  }
  const inverse = f32x4.splat(1 / bestUnit(x, n, most, scale));
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
}

/** Puts one row where it belongs, in the pages' storage. */
// @ts-ignore: decorator
@inline
function storeRow(x: usize, row: usize, scale: usize, type: i32, d: i32): void {
  if (type == F32) memory.copy(row, x, (<usize>d) << 2);
  else if (type == I8) quantiseRow(x, row, scale, d);
  else narrowRow(x, row, type, d);
}

/** o[n] = x - shift. */
function subtract(x: usize, shift: usize, o: usize, n: i32): void {
  for (let left = (n + 3) >> 2; left > 0; --left) {
    v128.store(o, f32x4.sub(v128.load(x), v128.load(shift)));
    x += 16;
    shift += 16;
    o += 16;
  }
}

/**
 * Puts keys and values of tokens into pages, each a run of rows of one head.
 *
 *   k, v            f32 [T, H, d]                     any strides, last axis contiguous
 *   table           i32 [H, tableStrideH]             page of each span of pageSize slots
 *   kRows, vRows    [pages, pageSize, d]              f32, f16, bf16 or i8; pages apart by rowStride; must not alias k or v
 *   kScale, vScale  f32 [pages, pageSize]             pages apart by scaleStride; i8 only: a number is code * scale
 *
 *   shift           f32 [H, d]                        taken from every key; optional
 *
 * Token t goes to slot first + t. Item: one token, all heads. Scratch: f32 [ceil4(d)] with a shift.
 */
export function storePages(params: usize, begin: i32, end: i32, scratch: usize): void {
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
      let k = p.k + ((<usize>(item * p.kStrideT + h * p.kStrideH)) << 2);
      const v = p.v + ((<usize>(item * p.vStrideT + h * p.vStrideH)) << 2);
      if (p.shift) {
        subtract(k, p.shift + ((<usize>(h * p.d)) << 2), scratch, p.d);
        k = scratch;
      }
      storeRow(k, p.kRows + row, p.kScale + scale, p.type, p.d);
      storeRow(v, p.vRows + row, p.vScale + scale, p.type, p.d);
    }
  }
}
