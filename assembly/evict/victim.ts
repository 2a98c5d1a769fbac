/** Least of n sums whose position is at most `last`; Infinity if there is none but NaN. */
function leastSum(sums: usize, positions: usize, n: i32, last: i32): f32 {
  const most = i32x4.splat(last);
  const none = f32x4.splat(Infinity);
  let least = none;
  let j: usize = 0;
  for (const whole = (<usize>(n & ~3)) << 2; j < whole; j += 16) {
    const old = i32x4.le_s(v128.load(positions + j), most);
    least = f32x4.pmin(least, v128.bitselect(v128.load(sums + j), none, old));
  }
  let result = min(
    min(f32x4.extract_lane(least, 0), f32x4.extract_lane(least, 1)),
    min(f32x4.extract_lane(least, 2), f32x4.extract_lane(least, 3)),
  );
  for (const all = (<usize>n) << 2; j < all; j += 4) {
    const sum = load<f32>(sums + j);
    if (load<i32>(positions + j) <= last && sum < result) result = sum;
  }
  return result;
}

/**
 * The slot that is let go: the least sum of those whose position is at most `last`, of equal sums the earliest position. Sums that are
 * NaN come last.
 *
 *   sums       f32 [n]
 *   positions  i32 [n]   at least one of them is at most `last`
 */
export function victimOf(sums: usize, positions: usize, n: i32, last: i32): i32 {
  const least = leastSum(sums, positions, n, last);
  const wanted = f32x4.splat(least);
  let victim = -1;
  let earliest = i32.MAX_VALUE;
  for (let first = 0; first < n; first += 4) {
    const from = (<usize>first) << 2;
    // sums behind the last slot are read, but not looked at
    if (!v128.any_true(f32x4.eq(v128.load(sums + from), wanted))) continue;
    const end = min(n, first + 4);
    for (let j = first; j < end; ++j) {
      const at = (<usize>j) << 2;
      const position = load<i32>(positions + at);
      if (load<f32>(sums + at) == least && position <= last && position < earliest) {
        earliest = position;
        victim = j;
      }
    }
  }
  if (victim >= 0) return victim;
  for (let j = 0; j < n; ++j) {
    const position = load<i32>(positions + ((<usize>j) << 2));
    if (position <= last && position < earliest) {
      earliest = position;
      victim = j;
    }
  }
  return victim;
}
