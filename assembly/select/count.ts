// Passes over numbers that count and weigh.

/** What a pass over numbers found. */
@unmanaged
export class Found {
  /** How many; NaN is never counted. */
  count: i32;
  least: f32;
  most: f32;
  /** Sum of those that are counted. */
  mass: f64;
}

/** Sum of the four lanes. */
// @ts-ignore: decorator
@inline
export function sumLanes(x: v128): i32 {
  const pairs = i32x4.add(x, i32x4.shuffle(x, x, 2, 3, 0, 1));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** How many of n numbers are above `level`. */
export function countAbove(x: usize, n: i32, level: f32): i32 {
  const l = f32x4.splat(level);
  let a = i32x4.splat(0);
  let b = a;
  for (let left = n >> 4; left > 0; --left) {
    a = i32x4.sub(a, f32x4.gt(v128.load(x), l));
    b = i32x4.sub(b, f32x4.gt(v128.load(x, 16), l));
    a = i32x4.sub(a, f32x4.gt(v128.load(x, 32), l));
    b = i32x4.sub(b, f32x4.gt(v128.load(x, 48), l));
    x += 64;
  }
  for (let left = (n >> 2) & 3; left > 0; --left) {
    a = i32x4.sub(a, f32x4.gt(v128.load(x), l));
    x += 16;
  }
  let count = sumLanes(i32x4.add(a, b));
  for (let left = n & 3; left > 0; --left) {
    count += <i32>(load<f32>(x) > level);
    x += 4;
  }
  return count;
}

/** How many of n numbers are no NaN, and the least and the most of them. */
export function measure(x: usize, n: i32, found: Found): void {
  let least = f32x4.splat(Infinity);
  let most = f32x4.splat(-Infinity);
  let counts = i32x4.splat(0);
  for (let left = n >> 2; left > 0; --left) {
    const v = v128.load(x);
    least = f32x4.pmin(least, v);
    most = f32x4.pmax(most, v);
    counts = i32x4.sub(counts, f32x4.eq(v, v));
    x += 16;
  }
  least = f32x4.pmin(least, i32x4.shuffle(least, least, 2, 3, 0, 1));
  most = f32x4.pmax(most, i32x4.shuffle(most, most, 2, 3, 0, 1));
  let low = min<f32>(f32x4.extract_lane(least, 0), f32x4.extract_lane(least, 1));
  let high = max<f32>(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1));
  let count = sumLanes(counts);
  for (let left = n & 3; left > 0; --left) {
    const value = load<f32>(x);
    if (value < low) low = value;
    if (value > high) high = value;
    count += <i32>(value == value);
    x += 4;
  }
  found.least = low;
  found.most = high;
  found.count = count;
}

/** The least and the most of n numbers that are above a and not above b. */
export function measureWithin(x: usize, n: i32, a: f32, b: f32, found: Found): void {
  let least: f32 = Infinity;
  let most: f32 = -Infinity;
  for (; n > 0; --n) {
    const value = load<f32>(x);
    if (value > a && value <= b) {
      least = min<f32>(least, value);
      most = max<f32>(most, value);
    }
    x += 4;
  }
  found.least = least;
  found.most = most;
}

/** How many of n numbers are above `level`, which is at least 0, and their sum. */
export function weighAbove(x: usize, n: i32, level: f32, found: Found): void {
  const l = f32x4.splat(level);
  let counts = i32x4.splat(0);
  let low = counts;
  let high = counts;
  let low2 = counts;
  let high2 = counts;
  for (let left = n >> 3; left > 0; --left) {
    let v = v128.load(x);
    let above = f32x4.gt(v, l);
    let kept = v128.and(v, above);
    counts = i32x4.sub(counts, above);
    low = f64x2.add(low, f64x2.promote_low_f32x4(kept));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i32x4.shuffle(kept, kept, 2, 3, 2, 3)));
    v = v128.load(x, 16);
    above = f32x4.gt(v, l);
    kept = v128.and(v, above);
    counts = i32x4.sub(counts, above);
    low2 = f64x2.add(low2, f64x2.promote_low_f32x4(kept));
    high2 = f64x2.add(high2, f64x2.promote_low_f32x4(i32x4.shuffle(kept, kept, 2, 3, 2, 3)));
    x += 32;
  }
  low = f64x2.add(low, low2);
  high = f64x2.add(high, high2);
  low = f64x2.add(low, high);
  let mass = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1);
  let count = sumLanes(counts);
  for (let left = n & 7; left > 0; --left) {
    const value = load<f32>(x);
    if (value > level) {
      mass += value;
      ++count;
    }
    x += 4;
  }
  found.count = count;
  found.mass = mass;
}
