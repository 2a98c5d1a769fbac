// Ways in which several numbers become one.
export const MEAN: i32 = 0;
export const SUM: i32 = 1;
export const MAX: i32 = 2;
export const MIN: i32 = 3;

/** What a reduction starts from. */
// @ts-ignore: decorator
@inline
export function emptyOf(kind: i32): f32 {
  return kind == MAX ? -Infinity : kind == MIN ? Infinity : 0;
}

/** o = o and x reduced, over n numbers; largest and least pass NaN over. */
export function reduceRow(o: usize, x: usize, n: i32, kind: i32): void {
  const whole = (<usize>(n & ~3)) << 2;
  const all = (<usize>n) << 2;
  let i: usize = 0;
  if (kind == MAX) {
    for (; i < whole; i += 16) v128.store(o + i, f32x4.pmax(v128.load(o + i), v128.load(x + i)));
    for (; i < all; i += 4) if (load<f32>(x + i) > load<f32>(o + i)) store<f32>(o + i, load<f32>(x + i));
  } else if (kind == MIN) {
    for (; i < whole; i += 16) v128.store(o + i, f32x4.pmin(v128.load(o + i), v128.load(x + i)));
    for (; i < all; i += 4) if (load<f32>(x + i) < load<f32>(o + i)) store<f32>(o + i, load<f32>(x + i));
  } else {
    for (; i < whole; i += 16) v128.store(o + i, f32x4.add(v128.load(o + i), v128.load(x + i)));
    for (; i < all; i += 4) store<f32>(o + i, load<f32>(o + i) + load<f32>(x + i));
  }
}

/** x = value over n numbers. */
export function fillRow(x: usize, n: i32, value: f32): void {
  const v = f32x4.splat(value);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) v128.store(x + i, v);
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(x + i, value);
}

/** x *= factor over n numbers. */
export function multiplyBy(x: usize, n: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), f));
  for (const all = (<usize>n) << 2; i < all; i += 4) store<f32>(x + i, load<f32>(x + i) * factor);
}
