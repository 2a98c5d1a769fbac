import { countAbove, Found, measure, measureWithin, weighAbove } from './count';
import { between, middle, nextAbove, nextBelow, partWay } from './order';
import { Partition, partition, partitionMass } from './partition';

/** Where a descending order of numbers is cut: everything above `value` is taken, and the first `ties` that equal it. */
@unmanaged
export class Cut {
  /** NaN: all numbers are taken, and the first `ties` NaN. */
  value: f32;
  ties: i32;
}

/** Numbers of a sample. */
const SAMPLE: i32 = 64;
/** Longer rows are shortened to a range about their cut; shorter ones are searched level by level. */
const LONG: i32 = 384;
/** So few numbers about a cut are sorted. */
const FEW: i32 = 16;
/** Levels that are tried before the numbers between two of them are looked at: they may all be equal. */
const ROUNDS: i32 = 12;
/** Bytes before the sample: found, partition and cut. */
const HEAD: i32 = 64;
/** Least number that weighs anything. */
const LEAST: f32 = reinterpret<f32>(1);

/** Bytes of a list of up to n numbers that a partition writes. */
// @ts-ignore: decorator
@inline
function listBytes(n: i32): usize {
  return (<usize>(((n + 3) & ~3) + 4)) << 2;
}

/** Bytes of scratch of the searches over n numbers. */
export function cutScratchBytes(n: i32): i32 {
  return 2 * <i32>listBytes(max(n, SAMPLE)) + SAMPLE * 4 + HEAD + 8;
}

/** All numbers are taken, and `ties` NaN. */
function takeAll(cut: Cut, ties: i32): void {
  cut.value = NaN;
  cut.ties = ties;
}

/** A share of the way to the next level, drawn to the middle: a step that falls short then is none that barely moves. */
// @ts-ignore: decorator
@inline
function dampen(share: f32): f32 {
  return share > 0 && share < 1 ? 0.1 + 0.8 * share : 0.5;
}

/**
 * The cut behind the k largest of n numbers, found by counting at level after level: guesses by the counts, among positive
 * numbers by their logarithms, and else from time to time half of all floats between, which ends in any case.
 */
function levelOfCount(x: usize, n: i32, k: i32, found: Found, cut: Cut): void {
  measure(x, n, found);
  if (k > found.count || (k == found.count && found.least == -Infinity)) return takeAll(cut, k - found.count);
  // more than k numbers are above a, fewer above b
  let a = found.least;
  let b = found.most;
  let aCount = found.count;
  let bCount = 0;
  const positive = a > 0;
  if (a == -Infinity) {
    aCount = countAbove(x, n, a);
    if (aCount <= k) {
      cut.value = a;
      cut.ties = k - aCount;
      return;
    }
  } else {
    a = nextBelow(a);
    if (aCount == k) {
      cut.value = a;
      cut.ties = 0;
      return;
    }
  }
  for (let round = 1; ; ++round) {
    if (round % ROUNDS == 0) {
      measureWithin(x, n, a, b, found);
      a = nextBelow(found.least);
      b = found.most;
    }
    if (nextAbove(a) >= b) {
      cut.value = b;
      cut.ties = k - bCount;
      return;
    }
    const share = dampen(<f32>(aCount - k) / <f32>(aCount - bCount));
    const level = positive ? partWay(a, b, share) : between(a, b, round & 3 ? a + share * (b - a) : middle(a, b));
    const count = countAbove(x, n, level);
    if (count == k) {
      cut.value = level;
      cut.ties = 0;
      return;
    }
    if (count > k) {
      a = level;
      aCount = count;
    } else {
      b = level;
      bCount = count;
    }
  }
}

/** Copies SAMPLE of n numbers, at equal distances, to `to`. */
function sample(x: usize, n: i32, to: usize): void {
  const step = (<usize>(n / SAMPLE)) << 2;
  for (const end = to + ((<usize>SAMPLE) << 2); to < end; to += 4) {
    store<f32>(to, load<f32>(x));
    x += step;
  }
}

/** How far from its place in a sample a number's place among all may be, nearly always. */
// @ts-ignore: decorator
@inline
function marginOf(place: f32): f32 {
  return 1 + 1.5 * sqrt<f32>(max<f32>(0, place * (1 - place / <f32>SAMPLE)));
}

/** A level that about k numbers of the sample are above, or `rest` where there are not so many. */
function sampleLevel(x: usize, k: i32, rest: f32, found: Found, cut: Cut): f32 {
  if (k < 1 || k >= SAMPLE) return rest;
  levelOfCount(x, SAMPLE, k, found, cut);
  return cut.value == cut.value ? cut.value : rest;
}

/**
 * The cut behind the k largest of n numbers, 0 < k < n. NaN counts as lowest.
 *
 *   x  f32 [n]   up to three numbers past the end may be read
 *
 * While there are many, those between two levels of a sample, about the place of the k-th, are copied out (Floyd and Rivest 1975).
 */
export function cutCount(x: usize, n: i32, k: i32, scratch: usize, cut: Cut): void {
  const start = (scratch + 7) & ~7;
  const found = changetype<Found>(start);
  const parts = changetype<Partition>(start + 24);
  const guess = changetype<Cut>(start + 40);
  const sampled = start + <usize>HEAD;
  let to = sampled + ((<usize>SAMPLE) << 2);
  let other = to + listBytes(n);
  while (n > LONG) {
    sample(x, n, sampled);
    const place = (<f32>k / <f32>n) * <f32>SAMPLE;
    const margin = marginOf(place);
    const high = sampleLevel(sampled, <i32>floor<f32>(place - margin), Infinity, found, guess);
    const low = sampleLevel(sampled, <i32>ceil<f32>(place + margin), -Infinity, found, guess);
    partition(x, n, low, high, to, parts);
    const above = parts.above;
    const inside = parts.inside;
    if (k <= above) {
      partition(x, n, nextAbove(high), Infinity, to, parts);
      n = above;
    } else if (k > above + inside) {
      k -= above + inside;
      if (low == -Infinity) return takeAll(cut, k);
      partition(x, n, -Infinity, nextBelow(low), to, parts);
      n = parts.inside;
    } else if (low == high) {
      cut.value = low;
      cut.ties = k - above;
      return;
    } else {
      k -= above;
      if (inside == n) break;
      n = inside;
    }
    x = to;
    to = other;
    other = x;
  }
  levelOfCount(x, n, k, found, cut);
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

/** Cuts n equal numbers where `sum` and the fewest of them reach `target`; returns how many those are. */
function cutEqual(value: f32, n: i32, sum: f64, target: f64, cut: Cut): i32 {
  let times = 1;
  if (value < Infinity) {
    const v = <f64>value;
    times = <i32>max<f64>(1, min<f64>(<f64>n, ceil((target - sum) / v)));
    while (times > 1 && sum + <f64>(times - 1) * v >= target) --times;
    while (times < n && sum + <f64>times * v < target) ++times;
  }
  cut.value = times < n ? value : nextBelow(value);
  cut.ties = times < n ? times : 0;
  return times;
}

/** Cuts the n numbers (at most FEW, sorted here) where `sum` and the largest of them reach `target`; returns how many those are. */
function cutFew(x: usize, n: i32, sum: f64, target: f64, cut: Cut): i32 {
  const end = x + ((<usize>n) << 2);
  for (let i = x + 4; i < end; i += 4) {
    const value = load<f32>(i);
    let at = i;
    for (; at > x && load<f32>(at - 4) < value; at -= 4) store<f32>(at, load<f32>(at - 4));
    store<f32>(at, value);
  }
  let first = x;
  while (true) {
    const value = load<f32>(first);
    let last = first + 4;
    while (last < end && load<f32>(last) == value) last += 4;
    const equal = <i32>((last - first) >> 2);
    const reached = sum + <f64>equal * <f64>value;
    if (reached >= target || last >= end) return <i32>((first - x) >> 2) + cutEqual(value, equal, sum, target, cut);
    sum = reached;
    first = last;
  }
}

/**
 * The cut behind the fewest of the largest of n numbers that bring `before` to `target`, found by weighing at level after level;
 * returns how many are taken.
 */
function levelOfMass(x: usize, n: i32, before: f64, target: f64, list: usize, found: Found, cut: Cut): i32 {
  measure(x, n, found);
  const numbers = found.count;
  const least = found.least;
  // what is above a reaches the target, what is above b does not
  let a = max<f32>(0, nextBelow(least));
  let b = max<f32>(found.most, LEAST);
  weighAbove(x, n, a, found);
  let aCount = found.count;
  let bCount = 0;
  let aMass = before + found.mass;
  let bMass = before;
  if (!(aMass >= target)) {
    // sums of another order may come out a rounding below the target
    cut.value = nextBelow(least);
    cut.ties = 0;
    return numbers;
  }
  let round = 0;
  while (true) {
    ++round;
    const inside = aCount - bCount;
    if (inside <= FEW) {
      const parts = changetype<Partition>(changetype<usize>(found) + 24);
      partition(x, n, nextAbove(a), b, list, parts);
      return bCount + cutFew(list, inside, bMass, target, cut);
    }
    if (round % ROUNDS == 0) {
      measureWithin(x, n, a, b, found);
      a = nextBelow(found.least);
      b = found.most;
    }
    if (nextAbove(a) >= b) return bCount + cutEqual(b, inside, bMass, target, cut);
    const level = partWay(a, b, dampen(<f32>((aMass - target) / (aMass - bMass))));
    weighAbove(x, n, level, found);
    const mass = before + found.mass;
    if (mass >= target) {
      a = level;
      aCount = found.count;
      aMass = mass;
    } else {
      b = level;
      bCount = found.count;
      bMass = mass;
    }
  }
}

/**
 * The cut behind the fewest of the largest of n numbers that bring `before` to at least `target`, which is more. Numbers below
 * 0 and NaN weigh nothing. Returns how many are taken.
 *
 *   x     f32 [n]   up to three numbers past the end may be read
 *   mass  sum of the n numbers
 */
export function cutMass(x: usize, n: i32, before: f64, target: f64, mass: f64, scratch: usize, cut: Cut): i32 {
  const start = (scratch + 7) & ~7;
  const found = changetype<Found>(start);
  const parts = changetype<Partition>(start + 24);
  const guess = changetype<Cut>(start + 40);
  const sampled = start + <usize>HEAD;
  let to = sampled + ((<usize>SAMPLE) << 2);
  let other = to + listBytes(max(n, SAMPLE));
  let taken = 0;
  while (n > LONG) {
    sample(x, n, sampled);
    const wanted = ((target - before) / mass) * massOf(sampled, SAMPLE);
    if (!(wanted > 0 && wanted < Infinity)) break;
    const place = <f32>levelOfMass(sampled, SAMPLE, 0, wanted, to, found, guess);
    const margin = marginOf(place);
    const high = max<f32>(0, sampleLevel(sampled, <i32>floor<f32>(place - margin), Infinity, found, guess));
    const low = max<f32>(LEAST, sampleLevel(sampled, <i32>ceil<f32>(place + margin), LEAST, found, guess));
    partitionMass(x, n, low, high, to, parts);
    const above = parts.above;
    const inside = parts.inside;
    const sum = before + parts.aboveMass;
    if (sum >= target) {
      mass = parts.aboveMass;
      partition(x, n, nextAbove(high), Infinity, to, parts);
      n = above;
    } else {
      const insideMass = massOf(to, inside);
      if (sum + insideMass >= target) {
        if (inside == n) break;
        mass = insideMass;
        n = inside;
        taken += above;
        before = sum;
      } else {
        if (low == LEAST) break;
        partition(x, n, LEAST, nextBelow(low), to, parts);
        n = parts.inside;
        mass = massOf(to, n);
        taken += above + inside;
        before = sum + insideMass;
      }
    }
    x = to;
    to = other;
    other = x;
  }
  return taken + levelOfMass(x, n, before, target, to, found, cut);
}
