/** A number and its place. */
@unmanaged
export class Largest {
  value: f32;
  place: i32;
}

/**
 * The largest of n numbers `sign` * x - less and the first place that has it; NaN is passed over, of nothing but NaN and -Infinity
 * it is -Infinity at place 0.
 *
 *   x, less  f32 [n]
 */
export function largest(x: usize, less: usize, n: i32, sign: f32, found: Largest): void {
  const s = f32x4.splat(sign);
  const four = i32x4.splat(4);
  let most = f32x4.splat(-Infinity);
  let places = i32x4.splat(0);
  let place = i32x4(0, 1, 2, 3);
  let i: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; i < whole; i += 16) {
    const v = f32x4.sub(f32x4.mul(v128.load(x + i), s), v128.load(less + i));
    const above = f32x4.gt(v, most);
    most = f32x4.pmax(most, v);
    places = v128.bitselect(place, places, above);
    place = i32x4.add(place, four);
  }
  let value = f32x4.extract_lane(most, 0);
  let first = i32x4.extract_lane(places, 0);
  for (let lane = 1; lane < 4; ++lane) {
    most = i32x4.shuffle(most, most, 1, 2, 3, 0);
    places = i32x4.shuffle(places, places, 1, 2, 3, 0);
    const other = f32x4.extract_lane(most, 0);
    const at = i32x4.extract_lane(places, 0);
    if (other > value || (other == value && at < first)) {
      value = other;
      first = at;
    }
  }
  for (const all = (<usize>n) << 2; i < all; i += 4) {
    const v = load<f32>(x + i) * sign - load<f32>(less + i);
    if (v > value) {
      value = v;
      first = <i32>(i >> 2);
    }
  }
  found.value = value;
  found.place = value == -Infinity ? 0 : first;
}
