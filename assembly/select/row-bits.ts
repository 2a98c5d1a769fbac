import { SelectParams } from '../params';
import { Cut } from './cut';
import { UNION } from './forced';
import { visibleColumns } from './visible';

/** The columns of one row: forced [0, first) and [last, end), candidates [from, to). */
@unmanaged
export class Span {
  first: i32;
  last: i32;
  end: i32;
  from: i32;
  to: i32;
}

/** The columns of row i. */
export function spanOf(p: SelectParams, i: i32, span: Span): void {
  const n = visibleColumns(p, i);
  span.end = n;
  span.first = min(p.first, n);
  span.last = max(span.first, n - p.last);
  span.from = p.forced == UNION ? 0 : span.first;
  span.to = p.forced == UNION ? n : span.last;
}

/** Bits of word `base` / 32 that are columns of [from, to). */
function rangeBits(base: i32, from: i32, to: i32): u32 {
  const low = max(0, from - base);
  const high = min(32, to - base);
  if (low >= high) return 0;
  return ((<u32>0xffffffff) >> (<u32>(32 - (high - low)))) << (<u32>low);
}

// Which of four numbers is taken: above a level, equal to it, a number, none.
const ABOVE: i32 = 0;
const EQUAL: i32 = 1;
const NUMBER: i32 = 2;
const NAN: i32 = 3;

// @ts-ignore: decorator
@inline
function compare(v: v128, level: v128, how: i32): v128 {
  if (how == ABOVE) return f32x4.gt(v, level);
  if (how == EQUAL) return f32x4.eq(v, level);
  return how == NUMBER ? f32x4.eq(v, v) : f32x4.ne(v, v);
}

/** Sixteen bits of sixteen numbers. */
// @ts-ignore: decorator
@inline
function bits16(x: usize, level: v128, how: i32): u32 {
  const a = compare(v128.load(x), level, how);
  const b = compare(v128.load(x, 16), level, how);
  const c = compare(v128.load(x, 32), level, how);
  const d = compare(v128.load(x, 48), level, how);
  return <u32>i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
}

/** Bits of the first n (1 to 32) numbers. */
// @ts-ignore: decorator
@inline
function bitsAs(x: usize, n: i32, value: f32, how: i32): u32 {
  const level = f32x4.splat(value);
  if (n == 32) return bits16(x, level, how) | (bits16(x + 64, level, how) << 16);
  let bits: u32 = 0;
  for (let j = 0; j < n; j += 4) {
    bits |= (<u32>i32x4.bitmask(compare(v128.load(x + ((<usize>j) << 2)), level, how))) << j;
  }
  return bits;
}

/** Bits of the first n (1 to 32) numbers: above `value`, or with NaN all that are numbers. */
function aboveBits(x: usize, n: i32, value: f32): u32 {
  return value == value ? bitsAs(x, n, value, ABOVE) : bitsAs(x, n, value, NUMBER);
}

/** Bits of the first n (1 to 32) numbers that equal `value`, or with NaN those that are NaN. */
function equalBits(x: usize, n: i32, value: f32): u32 {
  return value == value ? bitsAs(x, n, value, EQUAL) : bitsAs(x, n, value, NAN);
}

/** The lowest `count` of the bits. */
function lowestBits(bits: u32, count: i32): u32 {
  let taken: u32 = 0;
  for (; count > 0; --count) {
    const lowest = bits & (0 - bits);
    taken |= lowest;
    bits ^= lowest;
  }
  return taken;
}

/** Bits of `words` times 32 numbers that are above `value`. */
function writeAbove(x: usize, words: i32, value: f32, bits: usize): void {
  const level = f32x4.splat(value);
  for (; words > 0; --words) {
    store<u32>(bits, bits16(x, level, ABOVE) | (bits16(x + 64, level, ABOVE) << 16));
    x += 128;
    bits += 4;
  }
}

/**
 * Writes the bits of one row: the forced columns and the candidates that the cut takes, whose ties are counted down.
 *
 *   x     f32 [columns]   up to three numbers past span.to may be read
 *   bits  i32 [words]
 */
export function writeCut(x: usize, span: Span, cut: Cut, bits: usize, words: i32): void {
  const value = cut.value;
  let ties = cut.ties;
  for (let w = 0; w < words; ++w) {
    const base = w << 5;
    // words of nothing but candidates, which most are, need no ranges
    const inner = (min(span.to, span.last) >> 5) - w;
    if (ties == 0 && value == value && inner > 0 && base >= max(span.first, span.from)) {
      writeAbove(x + ((<usize>base) << 2), inner, value, bits + ((<usize>w) << 2));
      w += inner - 1;
      continue;
    }
    let word = rangeBits(base, 0, span.first) | rangeBits(base, span.last, span.end);
    const valid = rangeBits(base, span.from, span.to);
    if (valid) {
      const at = x + ((<usize>base) << 2);
      const n = min(32, span.to - base);
      word |= aboveBits(at, n, value) & valid;
      if (ties > 0) {
        let equal = equalBits(at, n, value) & valid;
        const count = popcnt<u32>(equal);
        if (<i32>count > ties) equal = lowestBits(equal, ties);
        ties -= min(ties, <i32>count);
        word |= equal;
      }
    }
    store<u32>(bits + ((<usize>w) << 2), word);
  }
  cut.ties = ties;
}

/** Writes the bits of one row: the forced columns and, with `all`, every candidate. */
export function writeSpan(span: Span, all: bool, bits: usize, words: i32): void {
  for (let w = 0; w < words; ++w) {
    const base = w << 5;
    let word = rangeBits(base, 0, span.first) | rangeBits(base, span.last, span.end);
    if (all) word |= rangeBits(base, span.from, span.to);
    store<u32>(bits + ((<usize>w) << 2), word);
  }
}
