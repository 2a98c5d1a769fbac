import { FIRST_LANES, KEEP_LANES, KEPT_BYTES } from '../simd/constants';
import { sumLanes } from './count';

/** What a pass over numbers found. */
@unmanaged
export class Partition {
  /** Numbers in the range, and above it. */
  inside: i32;
  above: i32;
  /** Sum of those above; only of `partitionMass`. */
  aboveMass: f64;
}

/** x with its lanes in `mask` (a bitmask) at the front. */
// @ts-ignore: decorator
@inline
function front(x: v128, mask: i32): v128 {
  const lanes = v128.load(KEEP_LANES + ((<usize>mask) << 4));
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(x, lanes) : i8x16.swizzle(x, lanes);
}

// @ts-ignore: decorator
@inline
function partitionAs(x: usize, n: i32, low: f32, high: f32, to: usize, found: Partition, weigh: bool): void {
  const l = f32x4.splat(low);
  const h = f32x4.splat(high);
  let above = i32x4.splat(0);
  let massLow = above;
  let massHigh = above;
  const start = to;
  for (let left = n >> 2; left > 0; --left) {
    const v = v128.load(x);
    const over = f32x4.gt(v, h);
    const mask = i32x4.bitmask(v128.andnot(f32x4.ge(v, l), over));
    above = i32x4.sub(above, over);
    if (weigh) {
      const kept = v128.and(v, over);
      massLow = f64x2.add(massLow, f64x2.promote_low_f32x4(kept));
      massHigh = f64x2.add(massHigh, f64x2.promote_low_f32x4(i32x4.shuffle(kept, kept, 2, 3, 2, 3)));
    }
    v128.store(to, front(v, mask));
    to += <usize>load<u8>(KEPT_BYTES + <usize>mask);
    x += 16;
  }
  if (n & 3) {
    const live = v128.load(FIRST_LANES + ((<usize>(n & 3)) << 4));
    const v = v128.load(x);
    const over = v128.and(f32x4.gt(v, h), live);
    const mask = i32x4.bitmask(v128.and(v128.andnot(f32x4.ge(v, l), over), live));
    above = i32x4.sub(above, over);
    if (weigh) {
      const kept = v128.and(v, over);
      massLow = f64x2.add(massLow, f64x2.promote_low_f32x4(kept));
      massHigh = f64x2.add(massHigh, f64x2.promote_low_f32x4(i32x4.shuffle(kept, kept, 2, 3, 2, 3)));
    }
    v128.store(to, front(v, mask));
    to += <usize>load<u8>(KEPT_BYTES + <usize>mask);
  }
  found.inside = <i32>((to - start) >> 2);
  found.above = sumLanes(above);
  if (!weigh) return;
  massLow = f64x2.add(massLow, massHigh);
  found.aboveMass = f64x2.extract_lane(massLow, 0) + f64x2.extract_lane(massLow, 1);
}

/**
 * Copies the numbers in [low, high] to `to`, in order.
 *
 *   x   f32 [n]       up to three numbers past the end are read
 *   to  f32 [n + 4]   must not alias x; what lies behind the numbers in the range is overwritten
 *
 * NaN is in no range.
 */
export function partition(x: usize, n: i32, low: f32, high: f32, to: usize, found: Partition): void {
  partitionAs(x, n, low, high, to, found, false);
}

/** The same, and what is above the range, which ends at 0 or more, is summed. */
export function partitionMass(x: usize, n: i32, low: f32, high: f32, to: usize, found: Partition): void {
  partitionAs(x, n, low, high, to, found, true);
}
