import { MR, NR, panelsOfRows } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { weighSecond } from './attend';
import { endKey, firstKey, modifyRow, plainScores } from './rows';
import { maskBitsRow } from './scores';
import { keepRows, SLACK, softmaxStep } from './softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, SCORE_ROW } from './tile';
import { STRIP, Tiles } from './tiles';

/** What key blocks that only some rows see need beside the tiles of the query block. */
@unmanaged
export class LiveRows {
  /** u64 [blockQ]: the keys of the block at hand that each row sees. */
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
  /** Selections: addresses of the bits of each row, 0 for none, and the union of all of them. */
  rowBits: usize;
  union: usize;
  /** [64] parts of the block at hand: the bit that shows it, as offset of its word and shift, and u64 its keys. */
  parts: usize;
  /** Number of parts. */
  count: i32;
  end: usize;
}

/** Bytes of one part. */
export const PART: usize = 16;

/** Carves what follows `at`; nothing where every row sees every key block. */
export function carveLive(p: FlashParams, t: Tiles): LiveRows {
  const w = changetype<LiveRows>(t.live);
  const at = t.end;
  w.end = at;
  if (!p.listRows && !p.selected && !p.qPositions) return w;
  const blockQ = (<usize>p.blockQ + 3) & ~3;
  w.masks = at;
  w.tile = w.masks + (blockQ << 3);
  w.q = w.tile + 32;
  w.r = w.q + 32;
  w.o = w.r + 32;
  w.s = w.o + 32;
  w.s2 = w.s + 32;
  w.noRow = w.s2 + 32;
  w.noStrips = w.noRow + ((((<usize>p.dk) << 2) + 15) & ~15);
  w.rowBits = w.noStrips + <usize>t.strips * STRIP;
  w.union = p.selected ? w.rowBits + (blockQ << 2) : w.rowBits;
  w.parts = w.union + ((((<usize>p.selectedWords) << 2) + 15) & ~15);
  w.end = p.selected ? w.parts + <usize>BLOCK_K * PART : w.parts;
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
  let norm: f32 = 0;
  let least: f32 = Infinity;
  for (let r = 0; r < live; ++r) {
    const i = load<i32>(w.tile + ((<usize>r) << 2));
    const mask = load<u64>(w.masks + ((<usize>i) << 3));
    some |= mask;
    all &= mask;
    norm = max<f32>(norm, load<f32>(t.qNorms + ((<usize>(i / MR)) << 2)));
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
  const bounded = plain && norm * t.keyNorm <= least + SLACK;
  let kept = !p.hasSkip;
  for (let r = 0; r < live; ++r) {
    const i = load<i32>(w.tile + ((<usize>r) << 2));
    const row = t.s + <usize>r * SCORE_ROW + column;
    if (!whole) {
      const mask = load<u64>(w.masks + ((<usize>i) << 3)) >> from;
      if (plain) maskBitsRow(row, n, mask);
      else modifyRow(p, s, h, q0 + i, first + from, row, n, t.keyBias + column, mask);
    }
    const at = (<usize>i) << 2;
    if (p.hasSkip && keepRows(1, row, n, t.top + at, p.skipBelow)) kept = true;
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

/**
 * The 64-key block at hand against the rows of a query block that see any of its keys; others cost nothing.
 *
 * @param bits u64 [rows]: bit j of a row shows key j of the block; may be w.masks
 */
export function attendLive(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  rows: i32,
  block: i32,
  bits: usize,
): void {
  const first = block << BLOCK_K_SHIFT;
  const inside = firstKey(p, s, q0 + rows - 1) <= first && endKey(p, s, q0) >= first + BLOCK_K;
  let live = 0;
  for (let i = 0; i < rows; ++i) {
    const place = (<usize>i) << 3;
    let mask = load<u64>(bits + place);
    if (!mask) continue;
    if (!inside) mask &= windowBits(p, s, q0 + i, first);
    if (!mask) continue;
    store<u64>(w.masks + place, mask);
    takeRow(p, t, w, live, i);
    if (++live < MR) continue;
    attendTile(p, s, t, w, h, q0, first, MR);
    live = 0;
  }
  if (live > 0) attendTile(p, s, t, w, h, q0, first, live);
}
