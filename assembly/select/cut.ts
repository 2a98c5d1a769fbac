import { nextAbove, Partition, partition } from './partition';

/** Where a descending order of numbers is cut: everything above `value` is taken, and the first `ties` that equal it. */
@unmanaged
export class Cut {
  /** NaN: all numbers are taken, and the first `ties` NaN. */
  value: f32;
  ties: i32;
}

/** Numbers of a sample. */
const SAMPLE: i32 = 64;
/** So many numbers are sorted outright. */
const FEW: i32 = 48;

/** Bytes of a list of up to n numbers that a partition writes. */
// @ts-ignore: decorator
@inline
function listBytes(n: i32): usize {
  return (<usize>(((n + 3) & ~3) + 4)) << 2;
}

/** Bytes of scratch of the searches over n numbers. */
export function cutScratchBytes(n: i32): i32 {
  return 2 * <i32>listBytes(n) + SAMPLE * 4 + 32 + 8;
}

/** Numbers about a place of a sorted sample that a place of all numbers lies within, nearly always. */
// @ts-ignore: decorator
@inline
function marginOf(place: f32, sample: i32): f32 {
  return 1 + 1.5 * sqrt<f32>(max<f32>(0, place * (1 - place / <f32>sample)));
}

/** Sorts n numbers in descending order; NaN is left out. Returns how many there are. */
function sortDescending(x: usize, n: i32, step: usize, to: usize): i32 {
  let count: usize = 0;
  for (; n > 0; --n) {
    const value = load<f32>(x);
    x += step;
    if (value != value) continue;
    let at = to + count;
    while (at > to && load<f32>(at - 4) < value) {
      store<f32>(at, load<f32>(at - 4));
      at -= 4;
    }
    store<f32>(at, value);
    count += 4;
  }
  return <i32>(count >> 2);
}

/** Everything is taken, and `ties` NaN. */
function takeAll(cut: Cut, ties: i32): void {
  cut.value = NaN;
  cut.ties = ties;
}

/** Cuts behind place k of n sorted numbers. */
function cutSorted(sorted: usize, k: i32, cut: Cut): void {
  const end = sorted + ((<usize>(k - 1)) << 2);
  const value = load<f32>(end);
  let at = end;
  while (at > sorted && load<f32>(at - 4) == value) at -= 4;
  cut.value = value;
  cut.ties = <i32>((end - at) >> 2) + 1;
}

/**
 * The cut behind the k largest of n numbers, 0 < k <= n. NaN counts as lowest.
 *
 *   x  f32 [n]   up to three numbers past the end may be read
 *
 * Numbers between two of a sample, about the place of the k-th largest, are copied out until few are left (Floyd and Rivest 1975).
 */
export function cutCount(x: usize, n: i32, k: i32, scratch: usize, cut: Cut): void {
  const found = changetype<Partition>((scratch + 7) & ~7);
  const sorted = ((scratch + 7) & ~7) + 32;
  let to = sorted + ((<usize>SAMPLE) << 2);
  let other = to + listBytes(n);
  let stuck = false;
  while (n > FEW) {
    const sample = sortDescending(x, SAMPLE, (<usize>(n / SAMPLE)) << 2, sorted);
    let low: f32 = -Infinity;
    let high: f32 = Infinity;
    if (sample > 0) {
      const place = (<f32>k / <f32>n) * <f32>sample;
      if (stuck) {
        low = load<f32>(sorted + ((<usize>min(<i32>place, sample - 1)) << 2));
        high = low;
      } else {
        const margin = marginOf(place, sample);
        const lower = <i32>(place + margin);
        if (place >= margin) high = load<f32>(sorted + ((<usize>(place - margin)) << 2));
        if (lower < sample) low = load<f32>(sorted + ((<usize>lower) << 2));
      }
    }
    partition(x, n, low, high, to, false, found);
    const above = found.above;
    const inside = found.inside;
    stuck = false;
    if (k <= above) {
      partition(x, n, nextAbove(high), Infinity, to, false, found);
      n = above;
    } else if (k > above + inside) {
      k -= above + inside;
      if (low == -Infinity) return takeAll(cut, k);
      partition(x, n, -Infinity, -nextAbove(-low), to, false, found);
      n = found.inside;
      if (k > n) return takeAll(cut, k - n);
    } else if (low == high) {
      cut.value = low;
      cut.ties = k - above;
      return;
    } else {
      stuck = inside == n;
      k -= above;
      n = inside;
    }
    x = to;
    to = other;
    other = x;
  }
  const count = sortDescending(x, n, 4, sorted);
  if (k > count) takeAll(cut, k - count);
  else cutSorted(sorted, k, cut);
}

/** Sum of n numbers, those below 0 and NaN taken as 0. */
export function massOf(x: usize, n: i32): f64 {
  const zero = i32x4.splat(0);
  let low = zero;
  let high = zero;
  for (let left = n >> 2; left > 0; --left) {
    const v = f32x4.pmax(zero, v128.load(x));
    low = f64x2.add(low, f64x2.promote_low_f32x4(v));
    high = f64x2.add(high, f64x2.promote_low_f32x4(i32x4.shuffle(v, v, 2, 3, 2, 3)));
    x += 16;
  }
  low = f64x2.add(low, high);
  let sum = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1);
  for (let left = n & 3; left > 0; --left) {
    const value = load<f32>(x);
    if (value > 0) sum += value;
    x += 4;
  }
  return sum;
}

/** Fewest times that `value` is added to `sum` until it reaches `target`, at most `most`. */
function timesUntil(sum: f64, value: f64, target: f64, most: i32): i32 {
  if (value == Infinity) return 1;
  let times = <i32>max<f64>(1, min<f64>(<f64>most, ceil((target - sum) / value)));
  while (times > 1 && sum + <f64>(times - 1) * value >= target) --times;
  while (times < most && sum + <f64>times * value < target) ++times;
  return times;
}

/**
 * The cut behind the fewest of the largest of n numbers that bring `before` to at least `target`, which is more. Numbers below
 * 0 and NaN weigh nothing. Returns how many are taken.
 *
 *   x     f32 [n]   up to three numbers past the end may be read
 *   mass  sum of the n numbers
 */
export function cutMass(x: usize, n: i32, before: f64, target: f64, mass: f64, scratch: usize, cut: Cut): i32 {
  const found = changetype<Partition>((scratch + 7) & ~7);
  const sorted = ((scratch + 7) & ~7) + 32;
  const all = n;
  let to = sorted + ((<usize>SAMPLE) << 2);
  let other = to + listBytes(n);
  let taken = 0;
  let stuck = false;
  while (n > FEW) {
    const sample = sortDescending(x, SAMPLE, (<usize>(n / SAMPLE)) << 2, sorted);
    let low: f32 = -Infinity;
    let high: f32 = Infinity;
    if (sample > 0) {
      const wanted = ((target - before) / mass) * massOf(sorted, sample);
      let sum: f64 = 0;
      let place = 0;
      for (; place < sample - 1; ++place) {
        sum += <f64>max<f32>(0, load<f32>(sorted + ((<usize>place) << 2)));
        if (sum >= wanted) break;
      }
      if (stuck) {
        low = load<f32>(sorted + ((<usize>place) << 2));
        high = low;
      } else {
        const margin = <i32>marginOf(<f32>place, sample);
        if (place >= margin) high = load<f32>(sorted + ((<usize>(place - margin)) << 2));
        if (place + margin < sample) low = load<f32>(sorted + ((<usize>(place + margin)) << 2));
      }
    }
    partition(x, n, low, high, to, true, found);
    const above = found.above;
    const inside = found.inside;
    const sum = before + found.aboveMass;
    stuck = false;
    if (sum >= target) {
      mass = found.aboveMass;
      partition(x, n, nextAbove(high), Infinity, to, false, found);
      n = above;
    } else if (low == high && sum + <f64>inside * <f64>low >= target) {
      cut.value = low;
      cut.ties = timesUntil(sum, low, target, inside);
      return taken + above + cut.ties;
    } else if (low < high && sum + found.insideMass >= target) {
      stuck = inside == n;
      taken += above;
      before = sum;
      mass = found.insideMass;
      n = inside;
    } else {
      taken += above + inside;
      before = sum + found.insideMass;
      if (low == -Infinity) break;
      partition(x, n, -Infinity, -nextAbove(-low), to, true, found);
      mass = found.insideMass;
      n = found.inside;
      if (n == 0) break;
    }
    x = to;
    to = other;
    other = x;
  }
  if (n <= FEW) {
    const count = sortDescending(x, n, 4, sorted);
    for (let k = 1; k <= count; ++k) {
      before += <f64>max<f32>(0, load<f32>(sorted + ((<usize>(k - 1)) << 2)));
      if (before < target && (k < count || all == n)) continue;
      cutSorted(sorted, k, cut);
      return taken + k;
    }
  }
  // sums of another order may come out a rounding below the target
  takeAll(cut, 0);
  return all;
}
