import { NR } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { liveBytes, LiveRows, PART, setRows } from './live-rows';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups } from './tile';

/**
 * How many of a query block's rows see how much of a key block: nothing, all rows all of it, or some some of it; with PARTS
 * its parts had better be taken one after another.
 */
export const NONE: i32 = 0;
export const SOME: i32 = 1;
export const ALL: i32 = 2;
export const PARTS: i32 = 3;

/** What a tile costs beside its keys, in keys. */
const TILE_KEYS: i32 = 12;

/** Number of the list that serves head h. */
// @ts-ignore: decorator
@inline
function listOfHead(p: FlashParams, h: i32): i32 {
  return (h * p.selectedLists) / p.heads;
}

/** Adds rows [first, end) to the columns of the bits that are set in a row of words. */
function addRows(p: FlashParams, w: LiveRows, bits: usize, first: i32, end: i32): void {
  const bytes = liveBytes(p);
  for (let word: usize = 0; word < <usize>p.selectedWords; ++word) {
    const columns = w.columns + (word << 5) * bytes;
    for (let left = load<u32>(bits + (word << 2)); left; left &= left - 1) {
      setRows(columns + <usize>ctz(left) * bytes, first, end);
    }
  }
}

/** Turns the bits of a query block's rows into rows of bits. */
export function openSelection(p: FlashParams, s: Sequence, w: LiveRows, h: i32, q0: i32, rows: i32): void {
  const list = listOfHead(p, h);
  const words = (<usize>p.selectedWords) << 2;
  const table = p.selected + ((<usize>(s.batch * p.selectedStrideB)) << 2) + <usize>(list * p.selectedRows) * words;
  const labels =
    p.queryLabels + ((<usize>(s.batch * p.queryLabelsStrideB + list * p.queryLabelsStrideL + s.qStart + q0)) << 2);
  memory.fill(w.columns, 0, (words << 3) * liveBytes(p));
  let first = 0;
  let row = -1;
  for (let i = 0; i <= rows; ++i) {
    let next = -1;
    if (i < rows) {
      next = p.queryLabels ? load<i32>(labels + ((<usize>i) << 2)) : (s.qStart + q0 + i) / p.queryBlock;
      if (i > 0 && next == row) continue;
    }
    if (i > 0 && <u32>row < <u32>p.selectedRows) addRows(p, w, table + <usize>row * words, first, i);
    row = next;
    first = i;
  }
}

/** Notes that bit j shows `keys` of the block at hand, if any row has it. */
function addPart(p: FlashParams, w: LiveRows, j: i32, keys: u64): void {
  if (<u32>j >= <u32>(p.selectedWords << 5)) return;
  const bytes = liveBytes(p);
  const column = w.columns + <usize>j * bytes;
  let some: u64 = 0;
  for (let at: usize = 0; at < bytes; at += 8) some |= load<u64>(column + at);
  if (!some) return;
  const part = w.parts + <usize>w.count * PART;
  store<usize>(part, column);
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

/** What tiles of `rows` rows cost on the keys that `keys` spans. */
// @ts-ignore: decorator
@inline
function tilesCost(rows: i32, keys: u64): i32 {
  const from = (<i32>ctz(keys)) & ~(NR - 1);
  return rowGroups(rows) * (roundUpNR(BLOCK_K - <i32>clz(keys)) - from + TILE_KEYS);
}

/** Whether the parts of the block at hand cost less one after another, each with its own rows, than all with `rows` rows. */
function partsCostLess(p: FlashParams, w: LiveRows, rows: i32, shown: u64): bool {
  const bytes = liveBytes(p);
  let left = tilesCost(rows, shown);
  for (let part = w.parts, end = part + <usize>w.count * PART; part < end && left > 0; part += PART) {
    const column = load<usize>(part);
    let count = 0;
    for (let at: usize = 0; at < bytes; at += 8) count += <i32>popcnt(load<u64>(column + at));
    left -= tilesCost(count, load<u64>(part, 8));
  }
  return left > 0;
}

/** Takes the rows and keys of one part. */
export function takePart(p: FlashParams, w: LiveRows, rows: i32, part: usize): void {
  const keys = load<u64>(part, 8);
  memory.copy(w.live, load<usize>(part), liveBytes(p));
  for (let i: usize = 0; i < <usize>rows; ++i) store<u64>(w.masks + (i << 3), keys);
}

/** The rows that see keys of key block `block`, and which ones; NONE, SOME, ALL, or PARTS, which leaves them to takePart. */
export function selectKeys(p: FlashParams, s: Sequence, w: LiveRows, h: i32, rows: i32, block: i32): i32 {
  const first = block << BLOCK_K_SHIFT;
  const keys = min(BLOCK_K, s.kLength - first);
  cutBlock(p, s, w, h, first, keys);
  if (w.count == 0) return NONE;
  const end = w.parts + <usize>w.count * PART;
  let shown: u64 = 0;
  for (let part = w.parts; part < end; part += PART) shown |= load<u64>(part, 8);
  let all = shown == range(0, keys);
  let count = 0;
  for (let at = 0; at < rows; at += 64) {
    const word = (<usize>(at >> 6)) << 3;
    let live: u64 = 0;
    let every: u64 = ~0;
    for (let part = w.parts; part < end; part += PART) {
      const column = load<u64>(load<usize>(part) + word);
      live |= column;
      every &= column;
    }
    store<u64>(w.live + word, live);
    count += <i32>popcnt(live);
    all = all && every == range(0, min(64, rows - at));
  }
  if (all) return ALL;
  // what a row passes over is decided for the whole block
  if (w.count > 1 && !p.hasSkip && partsCostLess(p, w, count, shown)) return PARTS;
  for (let at = 0; at < rows; at += 64) {
    const word = (<usize>(at >> 6)) << 3;
    const masks = w.masks + ((<usize>at) << 3);
    for (let left = load<u64>(w.live + word); left; left &= left - 1) {
      const i = ctz(left);
      let mask = shown;
      if (w.count > 1) {
        mask = 0;
        for (let part = w.parts; part < end; part += PART) {
          mask |= load<u64>(part, 8) & -((load<u64>(load<usize>(part) + word) >> i) & 1);
        }
      }
      store<u64>(masks + ((<usize>i) << 3), mask);
    }
  }
  return SOME;
}

/** Keys of a block, at `places`, that are from `low` to `high`; up to three elements past the last are read. */
function keysBetween(places: usize, keys: i32, low: i32, high: i32): u64 {
  const lowest = i32x4.splat(low);
  const highest = i32x4.splat(high);
  let seen: u64 = 0;
  for (let j = 0; j < keys; j += 4) {
    const at = v128.load(places + ((<usize>j) << 2));
    const inside = v128.and(i32x4.ge_s(at, lowest), i32x4.le_s(at, highest));
    seen |= (<u64>i32x4.bitmask(inside)) << j;
  }
  return seen & range(0, keys);
}

/** Keeps of what the live rows see the keys that are in the window of their places; whether any is left. */
export function intersectPlaces(p: FlashParams, s: Sequence, w: LiveRows, q0: i32, rows: i32, block: i32): bool {
  const first = block << BLOCK_K_SHIFT;
  const keys = min(BLOCK_K, s.kLength - first);
  const places = p.kPositions + ((<usize>(s.batch * p.kPositionsStrideB + s.kStart + first)) << 2);
  const own = p.qPositions + ((<usize>(s.batch * p.qPositionsStrideB + s.qStart + q0)) << 2);
  let least = i32.MAX_VALUE;
  let most = i32.MIN_VALUE;
  for (let j: usize = 0; j < <usize>keys; ++j) {
    const place = load<i32>(places + (j << 2));
    least = min(least, place);
    most = max(most, place);
  }
  let some: u64 = 0;
  for (let i = 0; i < rows; ++i) {
    const word = w.live + ((<usize>(i >> 6)) << 3);
    const bit = (<u64>1) << (i & 63);
    if (!(load<u64>(word) & bit)) continue;
    const place = load<i32>(own + ((<usize>i) << 2));
    const low = p.placesLeft < 0 ? i32.MIN_VALUE : place - p.placesLeft;
    const high = p.placesRight < 0 ? i32.MAX_VALUE : place + p.placesRight;
    if (least >= low && most <= high) {
      some = ~0;
      continue;
    }
    const at = w.masks + ((<usize>i) << 3);
    const mask: u64 = least > high || most < low ? 0 : load<u64>(at) & keysBetween(places, keys, low, high);
    store<u64>(at, mask);
    if (!mask) store<u64>(word, load<u64>(word) & ~bit);
    some |= mask;
  }
  return some != 0;
}
