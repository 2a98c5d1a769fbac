import { FIRST_LANES, KEEP_LANES, KEPT_BYTES } from '../simd/constants';

/** What a pass over numbers found. */
@unmanaged
export class Partition {
  /** Numbers in the range, and above it. */
  inside: i32;
  above: i32;
  /** Their sums, numbers below 0 taken as 0. */
  insideMass: f64;
  aboveMass: f64;
}

/** x with its lanes in `mask` (a bitmask) at the front. */
// @ts-ignore: decorator
@inline
function front(x: v128, mask: i32): v128 {
  const lanes = v128.load(KEEP_LANES + ((<usize>mask) << 4));
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(x, lanes) : i8x16.swizzle(x, lanes);
}

/** The next float above x. */
export function nextAbove(x: f32): f32 {
  if (x == 0) return reinterpret<f32>(1);
  const bits = reinterpret<i32>(x);
  return x == Infinity ? x : reinterpret<f32>(x > 0 ? bits + 1 : bits - 1);
}

/**
 * Copies the numbers in [low, high] to `to`, in order.
 *
 *   x   f32 [n]
 *   to  f32 [n + 4]   must not alias x; what lies behind the numbers in the range is overwritten
 *
 * NaN is in no range. Without `weigh` the sums are not made.
 */
export function partition(x: usize, n: i32, low: f32, high: f32, to: usize, weigh: bool, found: Partition): void {
  const l = f32x4.splat(low);
  const h = f32x4.splat(high);
  const zero = i32x4.splat(0);
  let above = zero;
  let aboveLow = zero;
  let aboveHigh = zero;
  let insideLow = zero;
  let insideHigh = zero;
  const start = to;
  for (let left = (n + 3) >> 2; left > 0; --left) {
    const v = v128.load(x);
    let over = f32x4.gt(v, h);
    let within = v128.andnot(f32x4.ge(v, l), over);
    if (left == 1 && n & 3) {
      const live = v128.load(FIRST_LANES + ((<usize>(n & 3)) << 4));
      over = v128.and(over, live);
      within = v128.and(within, live);
    }
    above = i32x4.sub(above, over);
    if (weigh) {
      const mass = f32x4.pmax(zero, v);
      const a = v128.and(mass, over);
      const b = v128.and(mass, within);
      aboveLow = f64x2.add(aboveLow, f64x2.promote_low_f32x4(a));
      aboveHigh = f64x2.add(aboveHigh, f64x2.promote_low_f32x4(i32x4.shuffle(a, a, 2, 3, 2, 3)));
      insideLow = f64x2.add(insideLow, f64x2.promote_low_f32x4(b));
      insideHigh = f64x2.add(insideHigh, f64x2.promote_low_f32x4(i32x4.shuffle(b, b, 2, 3, 2, 3)));
    }
    const mask = i32x4.bitmask(within);
    v128.store(to, front(v, mask));
    to += <usize>load<u8>(KEPT_BYTES + <usize>mask);
    x += 16;
  }
  found.inside = <i32>((to - start) >> 2);
  above = i32x4.add(above, i32x4.shuffle(above, above, 2, 3, 0, 1));
  found.above = i32x4.extract_lane(above, 0) + i32x4.extract_lane(above, 1);
  if (!weigh) return;
  aboveLow = f64x2.add(aboveLow, aboveHigh);
  insideLow = f64x2.add(insideLow, insideHigh);
  found.aboveMass = f64x2.extract_lane(aboveLow, 0) + f64x2.extract_lane(aboveLow, 1);
  found.insideMass = f64x2.extract_lane(insideLow, 0) + f64x2.extract_lane(insideLow, 1);
}
