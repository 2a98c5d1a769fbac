import { tanh4 } from '../simd/tanh';

// Changes to one row of the score tile, in place, `n` keys (a multiple of 4) at a time.
// Scores are in log2 units; reads of a bias or mask row may pass its end by three elements (the arena
// leaves room), and what they find is masked afterwards.

/** s = amplitude * tanh(s). */
export function capRow(s: usize, n: i32, amplitude: f32): void {
  const a = f32x4.splat(amplitude);
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) v128.store(s, f32x4.mul(a, tanh4(v128.load(s))));
}

/** s + factor * bias; a finite bias stays finite, so that a row hidden by f32's lowest number is still averaged. */
// @ts-ignore: decorator
@inline
function plusBias(s: v128, bias: v128, factor: v128, lowest: v128): v128 {
  const scaled = f32x4.pmax(f32x4.mul(factor, bias), lowest);
  return f32x4.add(s, v128.bitselect(bias, scaled, f32x4.lt(bias, lowest)));
}

/** s += factor * bias. */
export function addBiasRow(s: usize, n: i32, bias: usize, factor: f32): void {
  const f = f32x4.splat(factor);
  const lowest = f32x4.splat(-f32.MAX_VALUE);
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    v128.store(s, plusBias(v128.load(s), v128.load(bias), f, lowest));
    bias += 16;
  }
}

/** s += factor * (high + low - base), the large parts subtracted first. */
export function addDifferenceRow(s: usize, n: i32, high: usize, low: usize, base: f64, factor: f32): void {
  const f = f32x4.splat(factor);
  const lowest = f32x4.splat(-f32.MAX_VALUE);
  const baseHigh = <f32>base;
  const bh = f32x4.splat(baseHigh);
  const bl = f32x4.splat(<f32>(base - <f64>baseHigh));
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    const large = f32x4.sub(v128.load(high), bh);
    const difference = f32x4.add(large, f32x4.sub(v128.load(low), bl));
    v128.store(s, plusBias(v128.load(s), difference, f, lowest));
    high += 16;
    low += 16;
  }
}

/** s -= slope * |center - key|, keys counted from `first`. */
export function addAlibiRow(s: usize, n: i32, first: i32, center: i32, slope: f32): void {
  const m = f32x4.splat(slope);
  let distance = f32x4.add(f32x4.splat(<f32>(center - first)), f32x4(0, -1, -2, -3));
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    v128.store(s, f32x4.sub(v128.load(s), f32x4.mul(m, f32x4.abs(distance))));
    distance = f32x4.sub(distance, f32x4.splat(4));
  }
}

/** s = -Infinity where the key, counted from `first`, is outside [low, high). */
export function maskRangeRow(s: usize, n: i32, first: i32, low: i32, high: i32): void {
  const lowest = i32x4.splat(low - first);
  const highest = i32x4.splat(high - first);
  let key = i32x4(0, 1, 2, 3);
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    const visible = v128.and(i32x4.ge_s(key, lowest), i32x4.lt_s(key, highest));
    v128.store(s, v128.bitselect(v128.load(s), f32x4.splat(-Infinity), visible));
    key = i32x4.add(key, i32x4.splat(4));
  }
}

/** s = -Infinity where the mask byte is 0. */
export function maskBytesRow(s: usize, n: i32, mask: usize): void {
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    const bytes = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load_zero<u32>(mask)));
    const visible = i32x4.ne(bytes, i32x4.splat(0));
    v128.store(s, v128.bitselect(v128.load(s), f32x4.splat(-Infinity), visible));
    mask += 4;
  }
}

/** s = -Infinity where bit j is 0. */
export function maskBitsRow(s: usize, n: i32, bits: u64): void {
  const lane = i32x4(1, 2, 4, 8);
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    const visible = i32x4.eq(v128.and(i32x4.splat(<i32>bits), lane), lane);
    v128.store(s, v128.bitselect(v128.load(s), f32x4.splat(-Infinity), visible));
    bits >>= 4;
  }
}

/** s = s * w, element by element. */
export function multiplyRow(s: usize, n: i32, w: usize): void {
  for (const end = s + ((<usize>n) << 2); s < end; s += 16) {
    v128.store(s, f32x4.mul(v128.load(s), v128.load(w)));
    w += 16;
  }
}
