import { MR, NR, panelsOfRows } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { weighSecond } from './attend';
import { endKey, firstKey, modifyRow, plainScores } from './rows';
import { maskBitsRow } from './scores';
import { keepRows, SLACK, softmaxStep } from './softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups, SCORE_ROW } from './tile';
import { STRIP, Tiles } from './tiles';

/** What key blocks that only some rows see need beside the tiles of the query block. */
@unmanaged
export class LiveRows {
  /** u64 [ceil(blockQ / 64)]: the rows that see keys of the block at hand. */
  live: usize;
  /** u64 [blockQ]: the keys of the block that each of them sees; the others' are not written. */
  masks: usize;
  /** Rows of the tile at hand: i32 [MR] their numbers; usize [MR] addresses of their q, r and strips of o, and of rows of scores. */
  tile: usize;
  q: usize;
  r: usize;
  o: usize;
  s: usize;
  s2: usize;
  /** What takes the place of rows that a tile lacks: f32 [dk], and f32 [strips, MR, 8]. */
  noRow: usize;
  noStrips: usize;
  /** Selections: u64 [32 * selectedWords, ceil(blockQ / 64)] the rows that each bit shows keys to. */
  columns: usize;
  /** [64] parts of the block at hand: rows of columns, and u64 the keys that they show. */
  parts: usize;
  count: i32;
  /** Largest norm of the query block's rows. */
  norm: f32;
  end: usize;
}

/** Bytes of one part. */
export const PART: usize = 16;

/** Bytes of the bits of all rows of a query block. */
// @ts-ignore: decorator
@inline
export function liveBytes(p: FlashParams): usize {
  return (<usize>((p.blockQ + 63) >> 6)) << 3;
}

/** Carves what follows `at`; nothing where every row sees every key block. */
export function carveLive(p: FlashParams, t: Tiles): LiveRows {
  const w = changetype<LiveRows>(t.live);
  const at = t.end;
  w.end = at;
  if (!p.listRows && !p.selected && !p.qPositions) return w;
  w.live = at;
  w.masks = w.live + liveBytes(p);
  w.tile = w.masks + ((<usize>p.blockQ) << 3);
  w.q = w.tile + 32;
  w.r = w.q + 32;
  w.o = w.r + 32;
  w.s = w.o + 32;
  w.s2 = w.s + 32;
  w.noRow = w.s2 + 32;
  w.noStrips = w.noRow + ((((<usize>p.dk) << 2) + 15) & ~15);
  w.columns = w.noStrips + <usize>t.strips * STRIP;
  w.end = w.columns;
  if (!p.selected) return w;
  w.parts = w.columns + ((<usize>p.selectedWords) << 5) * liveBytes(p);
  w.end = w.parts + <usize>BLOCK_K * PART;
  return w;
}

/** Bits of the keys of the block from `first` on that the window shows to row i. */
// @ts-ignore: decorator
@inline
function windowBits(p: FlashParams, s: Sequence, i: i32, first: i32): u64 {
  const low = firstKey(p, s, i) - first;
  const high = endKey(p, s, i) - first;
  if (low >= high || high <= 0 || low >= BLOCK_K) return 0;
  const bits: u64 = high >= BLOCK_K ? ~0 : ((<u64>1) << high) - 1;
  return low > 0 ? bits & (~(<u64>0) << low) : bits;
}

/** Tables of the rows that every tile has alike, and those of a tile without rows. */
export function openLive(p: FlashParams, t: Tiles, w: LiveRows): void {
  memory.fill(w.noRow, 0, (<usize>p.dk) << 2);
  memory.fill(w.noStrips, 0, <usize>t.strips * STRIP);
  for (let r: usize = 0; r < <usize>MR; ++r) {
    store<usize>(w.s + (r << 2), t.s + r * SCORE_ROW);
    store<usize>(w.s2 + (r << 2), t.s2 + r * SCORE_ROW);
  }
}

/** Begins a query block of packed rows. */
export function beginLive(t: Tiles, w: LiveRows, rows: i32): void {
  w.norm = 0;
  for (let g = 0; g < rowGroups(rows); ++g) w.norm = max<f32>(w.norm, load<f32>(t.qNorms + ((<usize>g) << 2)));
}

/** Makes row i of the query block row `at` of the tile. */
// @ts-ignore: decorator
@inline
function takeRow(p: FlashParams, t: Tiles, w: LiveRows, at: i32, i: i32): void {
  const place = (<usize>at) << 2;
  const g = i / MR;
  store<i32>(w.tile + place, i);
  store<usize>(w.q + place, t.q + <usize>(i * p.dk) * 4);
  store<usize>(w.o + place, t.o + <usize>(g * t.strips) * STRIP + ((<usize>(i - g * MR)) << 5));
  if (p.r) store<usize>(w.r + place, t.r + <usize>(i * p.dk) * 4);
}

/** The first `live` rows of the tile, each of which sees some key of the block at hand, against it. */
function attendTile(p: FlashParams, s: Sequence, t: Tiles, w: LiveRows, h: i32, q0: i32, first: i32, live: i32): void {
  let some: u64 = 0;
  let all: u64 = ~0;
  let least: f32 = Infinity;
  for (let r = 0; r < live; ++r) {
    const i = load<i32>(w.tile + ((<usize>r) << 2));
    const mask = load<u64>(w.masks + ((<usize>i) << 3));
    some |= mask;
    all &= mask;
    least = min<f32>(least, load<f32>(t.m + ((<usize>i) << 2)));
  }
  for (let r = live; r < MR; ++r) {
    const place = (<usize>r) << 2;
    store<usize>(w.q + place, w.noRow);
    store<usize>(w.r + place, w.noRow);
    store<usize>(w.o + place, w.noStrips);
  }
  const from = (<i32>ctz(some)) & ~(NR - 1);
  const high = BLOCK_K - <i32>clz(some);
  const n = roundUpNR(high) - from;
  const keys = high - from;
  const rowBytes = (<usize>p.dk) << 2;
  const column = (<usize>from) << 2;
  const kPanels = t.keys + <usize>from * rowBytes;
  panelsOfRows(n >> 3, w.q, 0, kPanels, rowBytes << 3, w.s, column, 32, p.dk, 0);
  const plain = plainScores(p);
  const covered: u64 = (~(<u64>0) >> (64 - n)) << from;
  const whole = plain && (all & covered) == covered;
  // while no score can pass the references, their maximum need not be looked for
  const bounded = plain && w.norm * t.keyNorm <= least + SLACK;
  let kept = false;
  for (let r = 0; r < live; ++r) {
    const i = load<i32>(w.tile + ((<usize>r) << 2));
    const row = t.s + <usize>r * SCORE_ROW + column;
    if (!whole) {
      const mask = load<u64>(w.masks + ((<usize>i) << 3)) >> from;
      if (plain) maskBitsRow(row, n, mask);
      else modifyRow(p, s, h, q0 + i, first + from, row, n, t.keyBias + column, mask);
    }
    const at = (<usize>i) << 2;
    if (p.hasSkip && !keepRows(1, row, n, t.top + at, p.skipBelow)) {
      memory.fill(row, 0, (<usize>n) << 2);
      continue;
    }
    kept = true;
    const acc = load<usize>(w.o + ((<usize>r) << 2));
    softmaxStep(1, bounded, row, 0, n, t.m + at, t.l + (at << 2), acc, 0, t.strips, STRIP);
  }
  if (!kept) return;
  const strips = roundUpNR(p.dv) >> 3;
  const values = t.values + ((<usize>from) << 5);
  panelsOfRows(strips, w.s, column, values, BLOCK_K * 32, w.o, 0, STRIP, keys, 1);
  if (!p.r) return;
  // parallax: the second score s2 = r k, and the sums of p s2 and p s2 v
  panelsOfRows(n >> 3, w.r, 0, kPanels, rowBytes << 3, w.s2, column, 32, p.dk, 0);
  for (let r: usize = 0; r < <usize>live; ++r) {
    const sums = load<usize>(w.o + (r << 2)) + <usize>(strips * 2) * STRIP;
    weighSecond(t.s2 + r * SCORE_ROW + column, t.s + r * SCORE_ROW + column, n, sums);
  }
  panelsOfRows(strips, w.s2, column, values, BLOCK_K * 32, w.o, <usize>strips * STRIP, STRIP, keys, 1);
}

/** Takes the rows of a tile of bits, u64 [rows], that see any key. */
export function takeTile(p: FlashParams, w: LiveRows, rows: i32, bits: usize): void {
  memory.fill(w.live, 0, liveBytes(p));
  for (let i: usize = 0; i < <usize>rows; ++i) {
    const mask = load<u64>(bits + (i << 3));
    store<u64>(w.masks + (i << 3), mask);
    const word = w.live + ((i >> 6) << 3);
    store<u64>(word, load<u64>(word) | ((<u64>(mask != 0)) << (i & 63)));
  }
}

/** Takes all rows and all keys. */
export function takeAll(p: FlashParams, w: LiveRows, rows: i32): void {
  memory.fill(w.live, 0, liveBytes(p));
  memory.fill(w.masks, 0xff, (<usize>rows) << 3);
  setRows(w.live, 0, rows);
}

/** Sets bits [first, end), which are some. */
export function setRows(words: usize, first: i32, end: i32): void {
  for (let at = first & ~63; at < end; at += 64) {
    const low = max(0, first - at);
    const high = min(64, end - at);
    const word = words + ((<usize>(at >> 6)) << 3);
    store<u64>(word, load<u64>(word) | ((~(<u64>0) >> (64 - (high - low))) << low));
  }
}

/** The 64-key block at hand against its live rows; others cost nothing. */
export function attendLive(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  rows: i32,
  block: i32,
): void {
  const first = block << BLOCK_K_SHIFT;
  const inside = firstKey(p, s, q0 + rows - 1) <= first && endKey(p, s, q0) >= first + BLOCK_K;
  let count = 0;
  for (let at = 0; at < rows; at += 64) {
    for (let left = load<u64>(w.live + ((<usize>(at >> 6)) << 3)); left; left &= left - 1) {
      const i = at + <i32>ctz(left);
      if (!inside) {
        const place = w.masks + ((<usize>i) << 3);
        const mask = load<u64>(place) & windowBits(p, s, q0 + i, first);
        if (!mask) continue;
        store<u64>(place, mask);
      }
      takeRow(p, t, w, count, i);
      if (++count < MR) continue;
      attendTile(p, s, t, w, h, q0, first, MR);
      count = 0;
    }
  }
  if (count > 0) attendTile(p, s, t, w, h, q0, first, count);
}
