import { FeatureParams } from '../params';

/** Where row `item` of x lies; rows are numbered along [B, T, H]. */
export function inputRow(p: FeatureParams, item: i32): usize {
  const position = item / p.heads;
  const batch = position / p.length;
  const t = position - batch * p.length;
  const h = item - position * p.heads;
  return p.x + ((<usize>(batch * p.xStrideB + t * p.xStrideT + h * p.xStrideH)) << 2);
}

/** Where row `item` of o lies. */
// @ts-ignore: decorator
@inline
export function featureRow(p: FeatureParams, item: i32): usize {
  return p.o + ((<usize>item * <usize>p.features) << 2);
}

/** Stores the first n of four lanes, n < 4. */
// @ts-ignore: decorator
@inline
export function storeLanes(o: usize, x: v128, n: i32): void {
  if (n & 2) {
    v128.store_lane<u64>(o, x, 0);
    if (n & 1) v128.store_lane<f32>(o, x, 2, 8);
  } else if (n) {
    v128.store_lane<f32>(o, x, 0);
  }
}

/** o[n] = factor * x[n]; x is read three elements past its end. */
export function scaleRow(x: usize, o: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) v128.store(o + i, f32x4.mul(v128.load(x + i), f));
  storeLanes(o + i, f32x4.mul(v128.load(x + i), f), n & 3);
}
