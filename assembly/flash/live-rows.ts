import { MR, NR, panels } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { attendSecond, leastReference } from './attend';
import { endKey, firstKey, modifyRow, plainScores } from './rows';
import { maskBitsRow } from './scores';
import { keepRows, SLACK, softmaxStep } from './softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, rowGroups, SCORE_ROW } from './tile';
import { STRIP, Tiles } from './tiles';

/** What key blocks that only some rows see need beside the tiles of the query block. */
@unmanaged
export class LiveRows {
  /** u64 [blockQ]: the keys of the block at hand that each row sees. */
  masks: usize;
  /** i32 [2 * MR]: rows that wait until a tile of them is full. */
  waiting: usize;
  /** A tile of gathered rows: f32 [MR, dk] q and r, strips of o, m, l and the largest scores. */
  q: usize;
  r: usize;
  o: usize;
  m: usize;
  l: usize;
  top: usize;
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
  const rowBytes = <usize>MR * ((<usize>p.dk) << 2);
  const blockQ = (<usize>p.blockQ + 3) & ~3;
  const strips = roundUpNR(p.dv) >> 3;
  w.masks = at;
  w.waiting = w.masks + (blockQ << 3);
  w.q = w.waiting + ((<usize>MR * 8 + 15) & ~15);
  w.r = w.q + ((rowBytes + 15) & ~15);
  w.o = p.r ? w.r + ((rowBytes + 15) & ~15) : w.r;
  w.m = w.o + <usize>(p.r ? strips * 2 + 1 : strips) * STRIP;
  w.l = w.m + 32;
  w.top = w.l + ((<usize>MR) << 4);
  w.rowBits = w.top + 32;
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

/** Copies row i's strips between the query block's tile and row r of the gathered one. */
// @ts-ignore: decorator
@inline
function moveStrips(from: usize, to: usize, strips: i32): void {
  for (; strips > 0; --strips) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    from += STRIP;
    to += STRIP;
  }
}

/** Address of row i in the output tile of the query block. */
// @ts-ignore: decorator
@inline
function outputAt(t: Tiles, i: i32): usize {
  const g = i / MR;
  return t.o + <usize>(g * t.strips) * STRIP + ((<usize>(i - g * MR)) << 5);
}

/** The waiting rows' queries and sums into the gathered tile. */
function gather(p: FlashParams, t: Tiles, w: LiveRows, live: i32): void {
  const rowBytes = (<usize>p.dk) << 2;
  for (let r: usize = 0; r < <usize>live; ++r) {
    const i = <usize>load<i32>(w.waiting + (r << 2));
    memory.copy(w.q + r * rowBytes, t.q + i * rowBytes, rowBytes);
    if (p.r) memory.copy(w.r + r * rowBytes, t.r + i * rowBytes, rowBytes);
    moveStrips(outputAt(t, <i32>i), w.o + (r << 5), t.strips);
    store<f32>(w.m + (r << 2), load<f32>(t.m + (i << 2)));
    v128.store(w.l + (r << 4), v128.load(t.l + (i << 4)));
    if (p.hasSkip) store<f32>(w.top + (r << 2), load<f32>(t.top + (i << 2)));
  }
}

/** Sums of the gathered tile back to their rows. */
function scatter(p: FlashParams, t: Tiles, w: LiveRows, live: i32): void {
  for (let r: usize = 0; r < <usize>live; ++r) {
    const i = <usize>load<i32>(w.waiting + (r << 2));
    moveStrips(w.o + (r << 5), outputAt(t, <i32>i), t.strips);
    store<f32>(t.m + (i << 2), load<f32>(w.m + (r << 2)));
    v128.store(t.l + (i << 4), v128.load(w.l + (r << 4)));
    if (p.hasSkip) store<f32>(t.top + (i << 2), load<f32>(w.top + (r << 2)));
  }
}

/**
 * One tile of `live` waiting rows, each of which sees some key of the block at hand.
 *
 *   qRows, rRows f32 [MR, dk], m, top f32 [MR], l f32 [MR, 4], acc f32 [strips, MR, 8]: theirs
 */
function attendTile(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  first: i32,
  live: i32,
  waiting: usize,
  qRows: usize,
  rRows: usize,
  m: usize,
  l: usize,
  top: usize,
  acc: usize,
): void {
  let some: u64 = 0;
  let all: u64 = ~0;
  let norm: f32 = 0;
  for (let r = 0; r < live; ++r) {
    const i = load<i32>(waiting + ((<usize>r) << 2));
    const mask = load<u64>(w.masks + ((<usize>i) << 3));
    some |= mask;
    all &= mask;
    norm = max<f32>(norm, load<f32>(t.qNorms + ((<usize>(i / MR)) << 2)));
  }
  const from = (<i32>ctz(some)) & ~(NR - 1);
  const high = BLOCK_K - <i32>clz(some);
  const n = roundUpNR(high) - from;
  const rowBytes = (<usize>p.dk) << 2;
  const scores = t.s + ((<usize>from) << 2);
  panels(n >> 3, qRows, rowBytes, t.keys + <usize>from * rowBytes, rowBytes << 3, scores, 32, SCORE_ROW, p.dk, 0);
  const plain = plainScores(p);
  const covered: u64 = (~(<u64>0) >> (64 - n)) << from;
  if (!plain || (all & covered) != covered) {
    for (let r = 0; r < live; ++r) {
      const i = load<i32>(waiting + ((<usize>r) << 2));
      const mask = load<u64>(w.masks + ((<usize>i) << 3)) >> from;
      const row = scores + <usize>r * SCORE_ROW;
      if (plain) maskBitsRow(row, n, mask);
      else modifyRow(p, s, h, q0 + i, first + from, row, n, t.keyBias + ((<usize>from) << 2), mask);
    }
  }
  if (p.hasSkip && !keepRows(live, scores, n, top, p.skipBelow)) return;
  const bounded = plain && norm * t.keyNorm <= leastReference(m, live) + SLACK;
  softmaxStep(live, bounded, scores, SCORE_ROW, n, m, l, acc, 32, t.strips, STRIP);
  const keys = high - from;
  const values = t.values + ((<usize>from) << 5);
  panels(roundUpNR(p.dv) >> 3, scores, SCORE_ROW, values, BLOCK_K * 32, acc, STRIP, 32, keys, 1);
  if (p.r) attendSecond(p, t, rRows, acc, live, from, n, keys);
}

/** The first `live` waiting rows as a gathered tile. */
function attendGathered(
  p: FlashParams,
  s: Sequence,
  t: Tiles,
  w: LiveRows,
  h: i32,
  q0: i32,
  first: i32,
  live: i32,
): void {
  gather(p, t, w, live);
  attendTile(p, s, t, w, h, q0, first, live, w.waiting, w.q, w.r, w.m, w.l, w.top, w.o);
  scatter(p, t, w, live);
}

/**
 * The 64-key block at hand against the rows of a query block that see any of its keys: others cost nothing. A row group
 * that is complete is worked on where it lies; rows of other groups wait until they fill a tile.
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
  const rowBytes = (<usize>p.dk) << 2;
  let waiting = 0;
  for (let g = 0; g < rowGroups(rows); ++g) {
    const at = g * MR;
    const size = min(MR, rows - at);
    let live = 0;
    for (let i = at; i < at + size; ++i) {
      const place = (<usize>i) << 3;
      const mask = load<u64>(bits + place) & windowBits(p, s, q0 + i, first);
      store<u64>(w.masks + place, mask);
      store<i32>(w.waiting + ((<usize>(waiting + live)) << 2), i);
      live += <i32>(mask != 0);
    }
    if (live == size) {
      const own = w.waiting + ((<usize>waiting) << 2);
      const qRows = t.q + <usize>at * rowBytes;
      const rRows = t.r + <usize>at * rowBytes;
      const acc = t.o + <usize>(g * t.strips) * STRIP;
      const place = (<usize>at) << 2;
      attendTile(
        p,
        s,
        t,
        w,
        h,
        q0,
        first,
        live,
        own,
        qRows,
        rRows,
        t.m + place,
        t.l + (place << 2),
        t.top + place,
        acc,
      );
      continue;
    }
    waiting += live;
    if (waiting < MR) continue;
    attendGathered(p, s, t, w, h, q0, first, MR);
    waiting -= MR;
    memory.copy(w.waiting, w.waiting + ((<usize>MR) << 2), (<usize>waiting) << 2);
  }
  if (waiting > 0) attendGathered(p, s, t, w, h, q0, first, waiting);
}
