import { LINEAR_HIGH, LINEAR_LOW, ONE } from '../simd/constants';
import { exp4 } from '../simd/exp';
import { fma } from '../simd/fma';

/** row[vectors][4] = value. */
export function fillRow(row: usize, value: f32, vectors: i32): void {
  const x = f32x4.splat(value);
  for (; vectors > 0; --vectors) {
    v128.store(row, x);
    row += 16;
  }
}

/** to = from over whole vectors. */
export function copyRow(from: usize, to: usize, vectors: i32): void {
  for (; vectors > 0; --vectors) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
}

/** row = 1 - decay over whole vectors. */
export function complementRow(decay: usize, row: usize, vectors: i32): void {
  const one = v128.load(ONE);
  for (; vectors > 0; --vectors) {
    v128.store(row, f32x4.sub(one, v128.load(decay)));
    decay += 16;
    row += 16;
  }
}

/** row = 1 - e^g over whole vectors, with e^g in `decay`; by a series where the difference would lose the digits of a slow decay. */
export function complementOfLogRow(g: usize, decay: usize, row: usize, vectors: i32): void {
  const one = v128.load(ONE);
  const slow = f32x4.splat(0.5);
  for (; vectors > 0; --vectors) {
    const x = v128.load(g);
    let series = f32x4.splat(1.0 / 40320.0);
    series = fma(series, x, f32x4.splat(1.0 / 5040.0));
    series = fma(series, x, f32x4.splat(1.0 / 720.0));
    series = fma(series, x, f32x4.splat(1.0 / 120.0));
    series = fma(series, x, f32x4.splat(1.0 / 24.0));
    series = fma(series, x, f32x4.splat(1.0 / 6.0));
    series = fma(series, x, slow);
    series = fma(series, x, one);
    const difference = f32x4.sub(one, v128.load(decay));
    const near = f32x4.lt(f32x4.abs(x), slow);
    v128.store(row, v128.bitselect(f32x4.neg(f32x4.mul(series, x)), difference, near));
    g += 16;
    decay += 16;
    row += 16;
  }
}

/** decay = e^g over whole vectors. */
export function decayRow(g: usize, decay: usize, vectors: i32): void {
  for (; vectors > 0; --vectors) {
    v128.store(decay, exp4(v128.load(g)));
    g += 16;
    decay += 16;
  }
}

/** next = product * decay; whether all of it stays where rows may be folded by it, `halved` where columns are folded as well. */
export function advanceRow(product: usize, decay: usize, next: usize, vectors: i32, halved: bool): bool {
  let low = v128.load(LINEAR_LOW);
  let high = v128.load(LINEAR_HIGH);
  if (halved) {
    low = f32x4.sqrt(low);
    high = f32x4.sqrt(high);
  }
  let inside = f32x4.eq(low, low);
  for (; vectors > 0; --vectors) {
    const x = f32x4.mul(v128.load(product), v128.load(decay));
    v128.store(next, x);
    inside = v128.and(inside, v128.and(f32x4.ge(x, low), f32x4.le(x, high)));
    product += 16;
    decay += 16;
    next += 16;
  }
  return i32x4.all_true(inside);
}

/** factor = product * decay over whole vectors. */
export function multiplyRow(product: usize, decay: usize, factor: usize, vectors: i32): void {
  for (; vectors > 0; --vectors) {
    v128.store(factor, f32x4.mul(v128.load(product), v128.load(decay)));
    product += 16;
    decay += 16;
    factor += 16;
  }
}

/** The least of a row. */
export function leastOf(row: usize, vectors: i32): f32 {
  let least = v128.load(row);
  while (--vectors > 0) {
    row += 16;
    least = f32x4.min(least, v128.load(row));
  }
  const pairs = f32x4.min(least, i32x4.shuffle(least, least, 2, 3, 0, 1));
  return min<f32>(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** Whether rows may be folded by a product of decays. */
// @ts-ignore: decorator
@inline
export function foldable(product: f32, halved: bool): bool {
  const square = halved ? product * product : product;
  return square >= load<f32>(LINEAR_LOW) && square <= load<f32>(LINEAR_HIGH);
}

/** e^x for one gate, as accurate as an f32 can show. */
export function decayOf(x: f32): f32 {
  const t = <f64>x * 1.4426950408889634;
  // also for -Infinity
  if (t < -150) return 0;
  if (!(t < 128)) return t != t ? <f32>t : Infinity;
  const n = nearest<f64>(t);
  const r = (t - n) * 0.6931471805599453;
  const r2 = r * r;
  const low = 1 + r + r2 * (0.5 + r * (1.0 / 6.0));
  const high = 1.0 / 24.0 + r * (1.0 / 120.0) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0) + r2 * (1.0 / 40320.0));
  return <f32>((low + r2 * r2 * high) * reinterpret<f64>((<i64>n + 1023) << 52));
}
