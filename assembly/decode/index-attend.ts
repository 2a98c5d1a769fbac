import { keyOffset } from '../flash/cache';
import { ADD, closeRow, joinRow, outGain, outputRow, RowEnd, writeLse, writeStrips } from '../flash/output';
import { scoreFactor } from '../flash/rows';
import { capRow } from '../flash/scores';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { softmaxStep } from '../flash/softmax';
import { roundUpNR } from '../flash/tile';
import { IndexAttendParams, Sequence } from '../params';
import { LOG2E } from '../simd/constants';
import { sum4 } from '../simd/reduce';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { LIST_BLOCK, LIST_ROW } from './list-block';
import { scoreListed, scoreListedPairs } from './listed-score';
import { mixListed, mixListedPairs } from './listed-value';

/** Scratch of one thread. */
@unmanaged
class Tiles {
  /** Bytes of a query's row, and of an output row: whole sweeps of the micro-kernels. */
  qBytes: usize;
  oBytes: usize;
  /** f32 [blockQ, rows, dk], scaled. */
  q: usize;
  /** f32 [blockQ, rows, dv], [blockQ, rows], [blockQ, rows, 4]. */
  acc: usize;
  m: usize;
  l: usize;
  /** u32 [blockQ, 2]: addresses of what is left of each list, and of its end. */
  left: usize;
  /** f32 [rows, 128]. */
  s: usize;
  /** u32 [128] addresses of the keys and values at hand. */
  keys: usize;
  values: usize;
  /** f32 [128, dk] and [128, dv] where rows must be widened, else 0. */
  kTile: usize;
  vTile: usize;
  rowEnd: usize;
  touched: i32;
  end: usize;
}

const TILES_BYTES: usize = 64;
const LINE: usize = 64;

function carve(p: IndexAttendParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  const rows = <usize>(p.blockQ * p.rows);
  t.qBytes = (<usize>((p.dk + 3) & ~3)) << 2;
  t.oBytes = (<usize>((p.dv + 15) & ~15)) << 2;
  const widensK = p.kType != F32 || (p.dk & 3) != 0;
  const widensV = p.vType != F32;
  t.q = at + TILES_BYTES;
  t.acc = t.q + rows * t.qBytes;
  t.m = t.acc + rows * t.oBytes;
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.left = t.l + rows * 16;
  t.s = t.left + ((<usize>p.blockQ * 8 + 15) & ~15);
  t.keys = t.s + <usize>p.rows * LIST_ROW;
  t.values = t.keys + LIST_ROW;
  t.rowEnd = t.values + LIST_ROW;
  const tile = t.rowEnd + 16;
  const kBytes = widensK ? <usize>LIST_BLOCK * t.qBytes : 0;
  t.kTile = widensK ? tile : 0;
  t.vTile = widensV ? tile + kBytes : 0;
  t.end = tile + kBytes + (widensV ? <usize>LIST_BLOCK * t.oBytes : 0);
  return t;
}

/** Bytes of scratch that one thread of `indexAttend` needs; `scratch` has room for 128 bytes. */
export function indexAttendScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<IndexAttendParams>(params), scratch).end - scratch);
}

/** Notes what is left of the lists of `queries` queries from q0 on: all of them. */
function openLists(p: IndexAttendParams, s: Sequence, t: Tiles, list: i32, q0: i32, queries: i32): void {
  for (let i = 0; i < queries; ++i) {
    const row = s.qStart + q0 + i;
    const at =
      <usize>s.batch * <usize>p.indexStrideB + <usize>list * <usize>p.indexStrideL + <usize>row * <usize>p.indexStrideT;
    const count = s.batch * p.countStrideB + list * p.countStrideL + row * p.countStrideT;
    const entries = p.indices + (at << 2);
    const left = t.left + ((<usize>i) << 3);
    store<usize>(left, entries);
    store<usize>(left, entries + ((<usize>load<i32>(p.counts + ((<usize>count) << 2))) << 2), 4);
  }
}

/** Scale of an i8 key or value. */
// @ts-ignore: decorator
@inline
function scaleOf(p: IndexAttendParams, s: Sequence, scales: usize, j: i32, h: i32): f32 {
  return load<f32>(scales + (keyOffset(p, s, j, h, p.scaleStrideB, p.scaleStrideT, p.scaleStrideH) << 2));
}

/** Addresses of the keys and values that the entries of a list name, up to key `stop`; returns how many. */
function addressRows(p: IndexAttendParams, s: Sequence, t: Tiles, h: i32, entries: usize, most: i32, stop: i32): i32 {
  const kBase = <i32>(p.k + (keyOffset(p, s, 0, h, p.kStrideB, p.kStrideT, p.kStrideH) << 2));
  const vBase = <i32>(p.v + (keyOffset(p, s, 0, h, p.vStrideB, p.vStrideT, p.vStrideH) << 2));
  const kStep = p.kStrideT << 2;
  const vStep = p.vStrideT << 2;
  const last = s.kLength - 1;
  let n = 0;
  // lists ascend: four entries are below `stop` if the last of them is
  for (; n + 4 <= most && load<i32>(entries, 12) < stop; n += 4) {
    // a list with keys that are not there must not reach other memory
    const key = i32x4.max_s(i32x4.min_s(v128.load(entries), i32x4.splat(last)), i32x4.splat(0));
    const at = (<usize>n) << 2;
    v128.store(t.keys + at, i32x4.add(i32x4.mul(key, i32x4.splat(kStep)), i32x4.splat(kBase)));
    v128.store(t.values + at, i32x4.add(i32x4.mul(key, i32x4.splat(vStep)), i32x4.splat(vBase)));
    entries += 16;
  }
  for (; n < most && load<i32>(entries) < stop; ++n) {
    const key = max(min(load<i32>(entries), last), 0);
    store<i32>(t.keys + ((<usize>n) << 2), kBase + key * kStep);
    store<i32>(t.values + ((<usize>n) << 2), vBase + key * vStep);
    entries += 4;
  }
  return n;
}

/** How many of at most `most` entries of a list are below `stop`: lists ascend. */
function entriesBelow(entries: usize, most: i32, stop: i32): i32 {
  let low = 0;
  let high = most;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<i32>(entries + ((<usize>middle) << 2)) < stop) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many queries of a block have keys below `stop` left; -1 if none has any left. */
function queriesOfSpan(t: Tiles, queries: i32, stop: i32): i32 {
  let left = 0;
  let present = 0;
  for (let at = t.left, end = t.left + ((<usize>queries) << 3); at < end; at += 8) {
    const entries = load<usize>(at);
    if (entries == load<usize>(at, 4)) continue;
    ++left;
    if (load<i32>(entries) < stop) ++present;
  }
  return left ? present : -1;
}

/** Loads a byte of every line of some keys' rows, in the order of memory. */
function touchRows(rows: usize, stride: usize, bytes: usize, n: i32): i32 {
  let sum = 0;
  for (; n > 0; --n) {
    for (let at = rows, end = rows + bytes; at < end; at += LINE) sum += <i32>load<u8>(at);
    rows += stride;
  }
  return sum;
}

/** Brings keys [first, last) and their values to the second-level cache in one run: lists would ask for them here and there. */
function touchSpan(p: IndexAttendParams, s: Sequence, t: Tiles, h: i32, first: i32, last: i32): void {
  if (p.pageTable) return;
  const kBytes = elementBytes(p.kType);
  const vBytes = elementBytes(p.vType);
  const k = p.k + keyOffset(p, s, first, h, p.kStrideB, p.kStrideT, p.kStrideH) * kBytes;
  const v = p.v + keyOffset(p, s, first, h, p.vStrideB, p.vStrideT, p.vStrideH) * vBytes;
  t.touched = touchRows(k, <usize>p.kStrideT * kBytes, <usize>p.dk * kBytes, last - first);
  t.touched += touchRows(v, <usize>p.vStrideT * vBytes, <usize>p.dv * vBytes, last - first);
}

/** Loads what a query will read of its list: its part of a span lies apart from the last query's, which no hardware foresees. */
function touchList(t: Tiles, left: usize): void {
  let at = load<usize>(left);
  let sum = 0;
  for (const end = min(load<usize>(left, 4), at + ((<usize>LIST_BLOCK) << 2)); at < end; at += LINE)
    sum += load<i32>(at);
  t.touched = sum;
}

/** Loads a byte of every line of rows that lie anywhere, as many at a time as memory serves: products would wait for each. */
function touchListed(rows: usize, n: i32, bytes: usize): i32 {
  let sum = 0;
  for (; n > 0; --n) {
    const row = <usize>load<u32>(rows);
    for (let at: usize = 0; at < bytes; at += LINE) sum += <i32>load<u8>(row + at);
    rows += 4;
  }
  return sum;
}

/** Addresses of the n keys or values of a list, in place or of widened copies in `tile`. */
function placeRows(
  p: IndexAttendParams,
  s: Sequence,
  entries: usize,
  n: i32,
  h: i32,
  keys: bool,
  tile: usize,
  rowBytes: usize,
  to: usize,
): void {
  const base = keys ? p.k : p.v;
  const type = keys ? p.kType : p.vType;
  const scales = keys ? p.kScale : p.vScale;
  const strideB = keys ? p.kStrideB : p.vStrideB;
  const strideT = keys ? p.kStrideT : p.vStrideT;
  const strideH = keys ? p.kStrideH : p.vStrideH;
  for (let i = 0; i < n; ++i) {
    const j = max(min(load<i32>(entries + ((<usize>i) << 2)), s.kLength - 1), 0);
    let row = base + keyOffset(p, s, j, h, strideB, strideT, strideH) * elementBytes(type);
    if (tile) {
      const copy = tile + <usize>i * rowBytes;
      v128.store(copy + rowBytes - 16, i32x4.splat(0));
      widenRow(row, type, copy, keys ? p.dk : p.dv, scales ? scaleOf(p, s, scales, j, h) : 1);
      row = copy;
    }
    store<u32>(to + ((<usize>i) << 2), <u32>row);
  }
}

/** Addresses of at most `most` keys and values from an entry of a list on, up to key `stop`; returns how many. */
function gatherKeys(p: IndexAttendParams, s: Sequence, t: Tiles, h: i32, entries: usize, most: i32, stop: i32): i32 {
  let n = 0;
  if (t.kTile || t.vTile || p.pageTable) {
    n = entriesBelow(entries, most, stop);
    placeRows(p, s, entries, n, h, true, t.kTile, t.qBytes, t.keys);
    placeRows(p, s, entries, n, h, false, t.vTile, t.oBytes, t.values);
  } else {
    n = addressRows(p, s, t, h, entries, most, stop);
  }
  // the micro-kernels read a few addresses past the last key
  for (let i = n; i < n + 8; ++i) store<u32>(t.keys + ((<usize>i) << 2), load<u32>(t.keys));
  return n;
}

/** row += bias of n entries, which is in natural units. */
function addBias(row: usize, bias: usize, n: i32): void {
  for (; n > 0; --n) {
    store<f32>(row, load<f32>(row) + load<f32>(bias) * LOG2E);
    row += 4;
    bias += 4;
  }
}

/** The n keys at hand for query i of the block, entries of a list from `entries` on. */
function attendKeys(p: IndexAttendParams, t: Tiles, i: i32, n: i32, entries: usize): void {
  const rows = p.rows;
  const padded = roundUpNR(n);
  const first = <usize>(i * rows);
  const q = t.q + first * t.qBytes;
  const acc = t.acc + first * t.oBytes;
  const even = rows & ~1;
  const odd = <usize>even;
  const dk = <i32>(t.qBytes >> 2);
  if (even) scoreListedPairs(q, t.qBytes, even, t.keys, t.s, n, dk);
  if (even < rows) scoreListed(q + odd * t.qBytes, t.keys, t.s + odd * LIST_ROW, padded, dk);
  if (p.softcap != 0) {
    for (let r = 0; r < rows; ++r) capRow(t.s + <usize>r * LIST_ROW, padded, p.softcap * LOG2E);
  }
  if (p.entryBias) {
    const bias = p.entryBias + (entries - p.indices);
    for (let r = 0; r < rows; ++r) addBias(t.s + <usize>r * LIST_ROW, bias, n);
  }
  if (n < padded) {
    for (let r = 0; r < rows; ++r) {
      const row = t.s + <usize>r * LIST_ROW;
      for (let j = n; j < padded; ++j) store<f32>(row + ((<usize>j) << 2), -Infinity);
    }
  }
  softmaxStep(
    rows,
    false,
    t.s,
    LIST_ROW,
    padded,
    t.m + (first << 2),
    t.l + (first << 4),
    acc,
    t.oBytes,
    <i32>(t.oBytes >> 5),
    32,
  );
  if (even) mixListedPairs(t.s, even, t.values, acc, t.oBytes, n, p.dv);
  if (even < rows) mixListed(t.s + odd * LIST_ROW, t.values, acc + odd * t.oBytes, n, p.dv);
}

/** Whether the heads of an item from `head` on have factors of 0. */
function nothingOf(p: IndexAttendParams, s: Sequence, head: i32): bool {
  for (let h = head; h < head + p.rows; ++h) if (outGain(p, s, h) != 0) return false;
  return true;
}

/**
 * Attention of every query on its own list of keys.
 *
 *   q        [B, Tq, H, dk]       f32, f16 or bf16; any strides, last axis contiguous
 *   k        [B, Tk, Hkv, dk]     f32, f16, bf16 or i8; with pageTable [pages, pageSize, Hkv, dk]
 *   v        [B, Tk, Hkv, dv]     likewise; may be a view of k
 *   kScale, vScale  f32 [B, Tk, Hkv], or by pages; i8 only
 *   indices  i32 [B, L, Tq, K]    keys of each list, ascending; L divides H, and head h has list h / (H / L)
 *   counts   i32 [B, L, Tq]       how many of a list's entries count, 0 to K
 *   entryBias  f32 as indices     added to the scores of the entries; may be absent
 *   sinks    f32 [H], outScale f32 [H] or [B, H]: what is added of heads of 0 costs nothing where lse is not asked for
 *   o        f32 [B, Tq, H, dv], lse f32 [B, Tq, H]; neither may alias an input
 *
 *   o_i = sum_{j in list i} p_ij v_j / (sum_j p_ij + e^sink),  p_ij = exp(softcap(scale q_i k_j)).
 *   DeepSeek Sparse Attention (DeepSeek-AI 2025). An empty list gives zeros and lse = -Infinity.
 *
 * The heads of an item share each key that is gathered; keys are used where they lie. All queries of an item go through a span of
 * keys before the next one, which stays in the second-level cache meanwhile.
 *
 * Item: one (sequence, `rows` heads, query block). Scratch: indexAttendScratchBytes.
 */
export function indexAttend(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<IndexAttendParams>(params);
  const t = carve(p, scratch);
  const factor = scoreFactor(p);
  for (let item = begin; item < end; ++item) {
    const s = sequenceAt(p.sequences, sequenceOfItem(p.sequences, p.sequenceCount, item));
    const local = item - s.firstItem;
    const blocks = (s.qLength + p.blockQ - 1) / p.blockQ;
    const tile = local / blocks;
    const head = tile * p.rows;
    const list = head / p.listGroup;
    const kvHead = head / p.group;
    const q0 = (local - tile * blocks) * p.blockQ;
    const queries = min(p.blockQ, s.qLength - q0);
    const rows = queries * p.rows;
    if (p.accumulate == ADD && !p.lse && nothingOf(p, s, head)) continue;

    for (let row = 0; row < rows; ++row) {
      const i = row / p.rows;
      const at = s.batch * p.qStrideB + (s.qStart + q0 + i) * p.qStrideT + (head + row - i * p.rows) * p.qStrideH;
      const to = t.q + <usize>row * t.qBytes;
      v128.store(to + t.qBytes - 16, i32x4.splat(0));
      widenRow(p.q + <usize>at * elementBytes(p.qType), p.qType, to, p.dk, factor);
      store<f32>(t.m + ((<usize>row) << 2), -Infinity);
    }
    memory.fill(t.acc, 0, <usize>rows * t.oBytes);
    memory.fill(t.l, 0, (<usize>rows) << 4);
    openLists(p, s, t, list, q0, queries);

    for (let span = 0; span < s.kLength; span += p.spanKeys) {
      // the last span has whatever is left
      const stop = span + p.spanKeys < s.kLength ? span + p.spanKeys : i32.MAX_VALUE;
      const present = queriesOfSpan(t, queries, stop);
      if (present < 0) break;
      if (present == 0) continue;
      if (p.readWhole && present >= p.readWhole) {
        touchSpan(p, s, t, kvHead, span, min(s.kLength, span + p.spanKeys));
      }
      for (let i = 0; i < queries; ++i) {
        const left = t.left + ((<usize>i) << 3);
        if (i + 1 < queries) touchList(t, left + 8);
        let entries = load<usize>(left);
        const end = load<usize>(left, 4);
        while (entries < end) {
          const n = gatherKeys(p, s, t, kvHead, entries, min(LIST_BLOCK, <i32>((end - entries) >> 2)), stop);
          if (n == 0) break;
          // what one query reads nothing has brought near
          if (queries == 1) {
            if (!t.kTile) t.touched = touchListed(t.keys, n, (<usize>p.dk) << 2);
            if (!t.vTile) t.touched += touchListed(t.values, n, (<usize>p.dv) << 2);
          }
          attendKeys(p, t, i, n, entries);
          entries += (<usize>n) << 2;
        }
        store<usize>(left, entries);
      }
    }

    const rowEnd = changetype<RowEnd>(t.rowEnd);
    for (let row = 0; row < rows; ++row) {
      const i = row / p.rows;
      const h = head + row - i * p.rows;
      closeRow(p, h, load<f32>(t.m + ((<usize>row) << 2)), sum4(v128.load(t.l + ((<usize>row) << 4))), 0, rowEnd);
      joinRow(p, s, h, q0 + i, rowEnd);
      writeLse(p, s, h, q0 + i, rowEnd.lse);
      const out = outputRow(p, s, h, q0 + i);
      const acc = t.acc + <usize>row * t.oBytes;
      writeStrips(acc, 32, out, p.dv, rowEnd.inverse * outGain(p, s, h), rowEnd.keep);
    }
  }
}
