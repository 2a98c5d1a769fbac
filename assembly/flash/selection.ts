import { FlashParams, Sequence } from '../params';
import { LiveRows, PART } from './live-rows';
import { BLOCK_K, BLOCK_K_SHIFT } from './tile';

/** How many of a query block's rows see how much of a key block: nothing, all rows all of it, or some some of it. */
export const NONE: i32 = 0;
export const SOME: i32 = 1;
export const ALL: i32 = 2;

/** Number of the list that serves head h. */
// @ts-ignore: decorator
@inline
function listOfHead(p: FlashParams, h: i32): i32 {
  return (h * p.selectedLists) / p.heads;
}

/** Finds the bits of the rows of a query block, and the union of them. */
export function openSelection(p: FlashParams, s: Sequence, w: LiveRows, h: i32, q0: i32, rows: i32): void {
  const list = listOfHead(p, h);
  const words = (<usize>p.selectedWords) << 2;
  const table = p.selected + ((<usize>(s.batch * p.selectedStrideB)) << 2) + <usize>(list * p.selectedRows) * words;
  const labels =
    p.queryLabels + ((<usize>(s.batch * p.queryLabelsStrideB + list * p.queryLabelsStrideL + s.qStart + q0)) << 2);
  memory.fill(w.union, 0, words);
  let before: usize = 0;
  for (let i = 0; i < rows; ++i) {
    const row = p.queryLabels ? load<i32>(labels + ((<usize>i) << 2)) : (s.qStart + q0 + i) / p.queryBlock;
    const bits: usize = <u32>row < <u32>p.selectedRows ? table + <usize>row * words : 0;
    store<usize>(w.rowBits + ((<usize>i) << 2), bits);
    if (bits && bits != before) {
      for (let at: usize = 0; at < words; at += 4) {
        store<u32>(w.union + at, load<u32>(w.union + at) | load<u32>(bits + at));
      }
    }
    before = bits;
  }
}

/** Whether bit j of a row of words is set. */
// @ts-ignore: decorator
@inline
function hasBit(words: usize, j: i32): bool {
  return ((load<u32>(words + ((<usize>(j >> 5)) << 2)) >> (j & 31)) & 1) != 0;
}

/** Notes that bit j shows `keys` of the block at hand, if any row has it. */
function addPart(p: FlashParams, w: LiveRows, j: i32, keys: u64): void {
  if (<u32>j >= <u32>(p.selectedWords << 5) || !hasBit(w.union, j)) return;
  const part = w.parts + <usize>w.count * PART;
  store<i32>(part, j);
  store<u64>(part, keys, 8);
  ++w.count;
}

/** Bits [low, high) of 64. */
// @ts-ignore: decorator
@inline
function range(low: i32, high: i32): u64 {
  return (~(<u64>0) >> (64 - (high - low))) << low;
}

/** The parts of a key block: runs of keys that one bit shows. */
function cutBlock(p: FlashParams, s: Sequence, w: LiveRows, h: i32, first: i32, keys: i32): void {
  w.count = 0;
  if (p.keyLabels) {
    const list = listOfHead(p, h);
    const at = s.batch * p.keyLabelsStrideB + list * p.keyLabelsStrideL + s.kStart + first;
    const labels = p.keyLabels + ((<usize>at) << 2);
    let begin = 0;
    for (let j = 1; j <= keys; ++j) {
      const label = load<i32>(labels + ((<usize>begin) << 2));
      if (j < keys && load<i32>(labels + ((<usize>j) << 2)) == label) continue;
      addPart(p, w, label, range(begin, j));
      begin = j;
    }
    return;
  }
  const start = s.kStart + first;
  let j = start / p.keyBlock;
  for (let low = 0; low < keys; ++j) {
    const high = min(keys, (j + 1) * p.keyBlock - start);
    addPart(p, w, j, range(low, high));
    low = high;
  }
}

/** Keys of key block `block` that each row of the query block sees, into w.masks; NONE, SOME or ALL. */
export function selectKeys(p: FlashParams, s: Sequence, w: LiveRows, h: i32, rows: i32, block: i32): i32 {
  const first = block << BLOCK_K_SHIFT;
  const keys = min(BLOCK_K, s.kLength - first);
  cutBlock(p, s, w, h, first, keys);
  if (w.count == 0) return NONE;
  const end = w.parts + <usize>w.count * PART;
  let before: usize = 0;
  let mask: u64 = 0;
  let all: u64 = ~0;
  for (let i: usize = 0; i < <usize>rows; ++i) {
    const bits = load<usize>(w.rowBits + (i << 2));
    if (bits != before) {
      mask = 0;
      if (bits) {
        for (let part = w.parts; part < end; part += PART) {
          if (hasBit(bits, load<i32>(part))) mask |= load<u64>(part, 8);
        }
      }
      before = bits;
    }
    store<u64>(w.masks + (i << 3), mask);
    all &= mask;
  }
  const whole = range(0, keys);
  return (all & whole) == whole ? ALL : SOME;
}

/**
 * Keeps of `bits`, u64 [rows], or of all keys where there are none, those keys of a block whose places the rows see, into
 * w.masks; NONE, SOME or ALL.
 */
export function intersectPlaces(
  p: FlashParams,
  s: Sequence,
  w: LiveRows,
  q0: i32,
  rows: i32,
  block: i32,
  bits: usize,
): i32 {
  const first = block << BLOCK_K_SHIFT;
  const keys = min(BLOCK_K, s.kLength - first);
  const places = p.kPositions + ((<usize>(s.batch * p.kPositionsStrideB + s.kStart + first)) << 2);
  const own = p.qPositions + ((<usize>(s.batch * p.qPositionsStrideB + s.qStart + q0)) << 2);
  const whole = range(0, keys);
  let least = i32.MAX_VALUE;
  let most = i32.MIN_VALUE;
  for (let j: usize = 0; j < <usize>keys; ++j) {
    const place = load<i32>(places + (j << 2));
    least = min(least, place);
    most = max(most, place);
  }
  let some: u64 = 0;
  let all: u64 = ~0;
  for (let i: usize = 0; i < <usize>rows; ++i) {
    const place = load<i32>(own + (i << 2));
    const low = p.placesLeft < 0 ? i32.MIN_VALUE : place - p.placesLeft;
    const high = p.placesRight < 0 ? i32.MAX_VALUE : place + p.placesRight;
    let mask: u64 = bits ? load<u64>(bits + (i << 3)) & whole : whole;
    if (mask && (least < low || most > high)) {
      let seen: u64 = 0;
      if (least <= high && most >= low) {
        for (let j: usize = 0; j < <usize>keys; ++j) {
          const at = load<i32>(places + (j << 2));
          seen |= (<u64>(at >= low && at <= high)) << j;
        }
      }
      mask &= seen;
    }
    store<u64>(w.masks + (i << 3), mask);
    some |= mask;
    all &= mask;
  }
  return some == 0 ? NONE : all == whole ? ALL : SOME;
}
