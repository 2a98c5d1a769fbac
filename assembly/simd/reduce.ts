/** Sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function sum4(x: v128): f32 {
  const pairs = f32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Largest of the four lanes, none of them NaN. */
// @ts-ignore: decorator
@inline
export function max4(x: v128): f32 {
  const pairs = f32x4.pmax(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  const all = f32x4.pmax(pairs, i32x4.shuffle(pairs, pairs, 1, 0, 3, 2));
  return f32x4.extract_lane(all, 0);
}

/** Largest of the four lanes, NaN if any is. */
// @ts-ignore: decorator
@inline
export function maxOrNaN4(x: v128): f32 {
  const pairs = f32x4.max(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** [sum a, sum b, sum c, sum d]: four horizontal sums in one vector. */
// @ts-ignore: decorator
@inline
export function sum4x4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(i32x4.shuffle(a, b, 0, 1, 4, 5), i32x4.shuffle(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(i32x4.shuffle(c, d, 0, 1, 4, 5), i32x4.shuffle(c, d, 2, 3, 6, 7));
  return f32x4.add(i32x4.shuffle(ab, cd, 0, 2, 4, 6), i32x4.shuffle(ab, cd, 1, 3, 5, 7));
}

/** [sum a, sum b, ...]: two horizontal sums in the low half of a vector. */
// @ts-ignore: decorator
@inline
export function sum4x2(a: v128, b: v128): v128 {
  const pairs = f32x4.add(i32x4.shuffle(a, b, 0, 4, 1, 5), i32x4.shuffle(a, b, 2, 6, 3, 7));
  return f32x4.add(pairs, i32x4.shuffle(pairs, pairs, 2, 3, 2, 3));
}
