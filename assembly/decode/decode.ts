import { gatherScales, keyOffset, runLength, widenRest } from '../flash/cache';
import { closeRow, joinRow, outGain, outputRow, RowEnd, writeLse, writeStrips } from '../flash/output';
import { endKey, firstKey, keyBiasBase, loadKeyBias, modifyRow, plainScores, scoreFactor } from '../flash/rows';
import { multiplyRow } from '../flash/scores';
import { sequenceAt } from '../flash/sequence';
import { softmaxStep } from '../flash/softmax';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, SCORE_ROW } from '../flash/tile';
import { DecodeParams, Sequence } from '../params';
import { exp2 } from '../simd/exp2';
import { sum4 } from '../simd/reduce';
import { BF16, elementBytes, F16, F32, I8, widenRow } from '../simd/storage';
import { quantiseQuery, scoreBf16, scoreF16, scoreF32, scoreF32x4, scoreI8, scoreI8Dot, splitEights } from './score';
import { mixBf16, mixF16, mixF32, mixF32x4, mixI8, mixI8Dot, quantiseWeights } from './value';

/** How a row of keys or values is read. */
const DIRECT: i32 = 0;
const NARROW: i32 = 1;
const WIDENED: i32 = 2;

/** f16 keys are 2^112 too small in their kernel, and so q is as much larger, unless it is too large for that. */
const HALF_UNIT: f32 = reinterpret<f32>(0x77800000);
const MOST_HALF_Q: f32 = 32768;
/** f16 values likewise. Weights are 2^-100 to 2^20: they are taken 2^106 times, and the output is 2^6 times what is summed up. */
const HALF_WEIGHT: f32 = reinterpret<f32>(0x74800000);
const HALF_OUTPUT: f32 = 64;

/** Scratch of one thread. */
@unmanaged
class Tiles {
  kMode: i32;
  vMode: i32;
  /** Rows of q, s and acc: one, or a multiple of four. */
  rows: i32;
  /** dk and dv rounded up to whole vectors. */
  dk4: i32;
  dv8: i32;
  /** f32 [rows, dk4], scaled; bf16 and f16 keys: eights as even, odd. */
  q: usize;
  /** i8 keys: the quantised query, and f32 the unit of its products. */
  codes: usize;
  unit: usize;
  /** f32 [rows, 64]; of one row [1024] */
  s: usize;
  /** f32 [rows, dv8] */
  acc: usize;
  m: usize;
  l: usize;
  keyBias: usize;
  /** f32 [64]: scales of i8 keys or values, then the values' weights times them; i16 [64]: those quantised. */
  scales: usize;
  weights: usize;
  /** f16 values: f32 [dv] of acc, should it have to be made anew. */
  kept: usize;
  /** f32 [64, dk4] and [64, dv8] where rows must be widened. */
  kTile: usize;
  vTile: usize;
  end: usize;
  /** 1: f16 keys are widened, since q is too large to be 2^112 times as large. */
  widenKeys: i32;
}

const TILES_BYTES: usize = 96;

/** One narrow row at a time has kernels of its own; several share a widened tile. */
function modeOf(type: i32, d: i32, rows: i32): i32 {
  if (type == F32) return d & 3 ? WIDENED : DIRECT;
  if (rows == 1 && (((type == BF16 || type == F16) && !(d & 7)) || (type == I8 && !(d & 15)))) return NARROW;
  return WIDENED;
}

/** Most keys whose scores come before their values: in long runs of each, the memory's own read-ahead seldom starts anew. */
const SPAN: i32 = 1024;

/** Keys of one step: SPAN, or those of a block where rows are widened in a tile of so many or scores meet more than a range. */
// @ts-ignore: decorator
@inline
function spanOf(p: DecodeParams, t: Tiles): i32 {
  const wide =
    (t.kMode == DIRECT || (t.kMode == NARROW && p.kType == BF16)) &&
    (t.vMode == DIRECT || (t.vMode == NARROW && p.vType == BF16));
  return t.rows == 1 && wide && plainScores(p) ? SPAN : BLOCK_K;
}

function carve(p: DecodeParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  t.rows = p.rows == 1 ? 1 : (p.rows + 3) & ~3;
  t.kMode = p.kRest ? WIDENED : modeOf(p.kType, p.dk, p.rows);
  t.vMode = modeOf(p.vType, p.dv, p.rows);
  t.dk4 = (p.dk + 3) & ~3;
  t.dv8 = roundUpNR(p.dv);
  const rows = <usize>t.rows;
  t.q = at + TILES_BYTES;
  t.codes = t.q + rows * ((<usize>t.dk4) << 2);
  t.unit = t.codes + (p.kType == I8 ? (<usize>t.dk4) << 1 : 0);
  t.s = t.unit + 16;
  t.acc = t.s + (rows == 1 ? (<usize>SPAN) << 2 : rows * SCORE_ROW);
  t.m = t.acc + rows * ((<usize>t.dv8) << 2);
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.keyBias = t.l + rows * 16;
  t.scales = t.keyBias + SCORE_ROW * 2;
  t.weights = t.scales + SCORE_ROW;
  t.kept = t.weights + 144;
  t.kTile = t.kept + (p.vType == F16 ? (<usize>t.dv8) << 2 : 0);
  t.vTile = t.kTile + (t.kMode == WIDENED || p.kType == F16 ? (<usize>(BLOCK_K * t.dk4)) << 2 : 0);
  t.end = t.vTile + (t.vMode == WIDENED || p.vType == F16 ? (<usize>(BLOCK_K * t.dv8)) << 2 : 0);
  return t;
}

/** Bytes of scratch that one thread of `decode` needs; `scratch` has room for 128 bytes. */
export function decodeScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<DecodeParams>(params), scratch).end - scratch);
}

/** Whether i8 products run on the relaxed dot product, whose right operand has seven bits. */
// @ts-ignore: decorator
@inline
function levels(p: DecodeParams): bool {
  return ASC_FEATURE_RELAXED_SIMD && p.relaxedDot != 0;
}

/** The natural order of each eight, from its even and odd elements. */
function joinEights(x: usize, d: i32): void {
  for (const end = x + ((<usize>d) << 2); x < end; x += 32) {
    const even = v128.load(x);
    const odd = v128.load(x, 16);
    v128.store(x, i32x4.shuffle(even, odd, 0, 4, 1, 5));
    v128.store(x, i32x4.shuffle(even, odd, 2, 6, 3, 7), 16);
  }
}

/** The query rows that share key/value head h, in the form that the keys' type wants. */
function loadQueries(p: DecodeParams, s: Sequence, t: Tiles, h: i32, rows: i32): void {
  const rowBytes = (<usize>t.dk4) << 2;
  const bytes = elementBytes(p.qType);
  memory.fill(t.q, 0, <usize>t.rows * rowBytes);
  for (let r = 0; r < rows; ++r) {
    const i = r / p.group;
    const head = h * p.group + (r - i * p.group);
    const at = s.batch * p.qStrideB + (s.qStart + i) * p.qStrideT + head * p.qStrideH;
    widenRow(p.q + <usize>at * bytes, p.qType, t.q + <usize>r * rowBytes, p.dk, scoreFactor(p));
  }
  if (t.kMode != NARROW) return;
  if (p.kType == BF16) {
    splitEights(t.q, p.dk);
  } else if (p.kType == F16) {
    splitEights(t.q, p.dk);
    t.widenKeys = 0;
    for (let i: usize = 0; i < rowBytes; i += 4) if (!(abs(load<f32>(t.q + i)) < MOST_HALF_Q)) t.widenKeys = 1;
    const factor = f32x4.splat(HALF_UNIT);
    if (!t.widenKeys)
      for (let i: usize = 0; i < rowBytes; i += 16) v128.store(t.q + i, f32x4.mul(v128.load(t.q + i), factor));
  } else {
    store<f32>(t.unit, quantiseQuery(t.q, t.codes, p.dk, levels(p)));
  }
}

/** tile f32 [n, d] = factor times n f16 rows, each eight as even, odd. */
function widenHalfRows(rows: usize, stride: usize, tile: usize, n: i32, d: i32, factor: f32): void {
  for (let i = 0; i < n; ++i) {
    widenRow(rows, F16, tile, d, factor);
    splitEights(tile, d);
    rows += stride;
    tile += (<usize>d) << 2;
  }
}

/** dst = factor times f32 [n]; up to three numbers more are written. */
// @ts-ignore: decorator
@inline
function scaleRow(dst: usize, x: usize, n: i32, factor: f32): void {
  const all = f32x4.splat(factor);
  for (let i: usize = 0; i < (<usize>n) << 2; i += 16) v128.store(dst + i, f32x4.mul(v128.load(x + i), all));
}

/** Scores of keys [j, j + n), contiguous by stride, into column `from` of the tile. */
function scoreRun(p: DecodeParams, s: Sequence, t: Tiles, h: i32, j: i32, n: i32, from: i32): void {
  const bytes = elementBytes(p.kType);
  let rows = p.k + keyOffset(p, s, j, h, p.kStrideB, p.kStrideT, p.kStrideH) * bytes;
  let stride = <usize>p.kStrideT * bytes;
  const out = t.s + ((<usize>from) << 2);
  if (t.kMode == NARROW) {
    if (p.kType == BF16) {
      scoreBf16(t.q, rows, stride, out, n, p.dk);
    } else if (p.kType == F16) {
      if (t.widenKeys || !scoreF16(t.q, rows, stride, out, n, p.dk)) {
        widenHalfRows(rows, stride, t.kTile, n, p.dk, t.widenKeys ? 1 : 1 / HALF_UNIT);
        scoreF32(t.q, t.kTile, (<usize>p.dk) << 2, out, n, p.dk);
      }
    } else {
      if (ASC_FEATURE_RELAXED_SIMD && p.relaxedDot) scoreI8Dot(t.codes, load<f32>(t.unit), rows, stride, out, n, p.dk);
      else scoreI8(t.codes, load<f32>(t.unit), rows, stride, out, n, p.dk);
      gatherScales(p, s, p.kScale, j, n, h, t.scales);
      // whole vectors: what lies past the run is overwritten by the next one
      multiplyRow(out, (n + 3) & ~3, t.scales);
    }
    return;
  }
  if (t.kMode == WIDENED) {
    if (p.kScale) gatherScales(p, s, p.kScale, j, n, h, t.scales);
    const rowBytes = (<usize>t.dk4) << 2;
    for (let i = 0; i < n; ++i) {
      const row = t.kTile + <usize>i * rowBytes;
      v128.store(row + rowBytes - 16, i32x4.splat(0));
      const scale: f32 = p.kScale ? load<f32>(t.scales + ((<usize>i) << 2)) : 1;
      widenRow(rows + <usize>i * stride, p.kType, row, p.dk - p.kRestDim, scale);
      if (p.kRest) widenRest(p, s, j + i, row, p.dk);
    }
    rows = t.kTile;
    stride = rowBytes;
  }
  if (t.rows == 1) {
    scoreF32(t.q, rows, stride, out, n, t.dk4);
    return;
  }
  for (let r = 0; r < t.rows; r += 4) {
    scoreF32x4(t.q + <usize>(r * t.dk4) * 4, rows, stride, out + <usize>r * SCORE_ROW, n, t.dk4);
  }
}

/** Adds the weighted values of keys [j, j + n), weights from column `from` of the tile. */
function mixRun(p: DecodeParams, s: Sequence, t: Tiles, h: i32, j: i32, n: i32, from: i32): void {
  const bytes = elementBytes(p.vType);
  let rows = p.v + keyOffset(p, s, j, h, p.vStrideB, p.vStrideT, p.vStrideH) * bytes;
  let stride = <usize>p.vStrideT * bytes;
  const weights = t.s + ((<usize>from) << 2);
  if (t.vMode == NARROW) {
    if (p.vType == BF16) {
      mixBf16(weights, rows, stride, t.acc, n, p.dv);
    } else if (p.vType == F16) {
      const accBytes = (<usize>p.dv) << 2;
      memory.copy(t.kept, t.acc, accBytes);
      scaleRow(t.scales, weights, n, HALF_WEIGHT);
      if (!mixF16(t.scales, rows, stride, t.acc, n, p.dv)) {
        memory.copy(t.acc, t.kept, accBytes);
        scaleRow(t.scales, weights, n, 1 / HALF_OUTPUT);
        widenHalfRows(rows, stride, t.vTile, n, p.dv, 1);
        mixF32(t.scales, t.vTile, (<usize>p.dv) << 2, t.acc, n, p.dv);
      }
    } else {
      const padded = (n + 7) & ~7;
      gatherScales(p, s, p.vScale, j, n, h, t.scales);
      multiplyRow(t.scales, (n + 3) & ~3, weights);
      for (let i = n; i < padded; ++i) store<f32>(t.scales + ((<usize>i) << 2), 0);
      const unit = quantiseWeights(t.scales, t.weights, padded, levels(p));
      if (ASC_FEATURE_RELAXED_SIMD && p.relaxedDot) mixI8Dot(t.weights, unit, rows, stride, t.acc, n, p.dv);
      else mixI8(t.weights, unit, rows, stride, t.acc, n, p.dv);
    }
    return;
  }
  let d = p.dv;
  if (t.vMode == WIDENED) {
    if (p.vScale) gatherScales(p, s, p.vScale, j, n, h, t.scales);
    const rowBytes = (<usize>t.dv8) << 2;
    for (let i = 0; i < n; ++i) {
      const row = t.vTile + <usize>i * rowBytes;
      v128.store(row + rowBytes - 32, i32x4.splat(0));
      v128.store(row + rowBytes - 16, i32x4.splat(0));
      widenRow(rows + <usize>i * stride, p.vType, row, p.dv, p.vScale ? load<f32>(t.scales + ((<usize>i) << 2)) : 1);
    }
    rows = t.vTile;
    stride = rowBytes;
    d = t.dv8;
  }
  if (t.rows == 1) {
    mixF32(weights, rows, stride, t.acc, n, d);
    return;
  }
  for (let r = 0; r < t.rows; r += 4) {
    const acc = t.acc + <usize>(r * t.dv8) * 4;
    mixF32x4(weights + <usize>r * SCORE_ROW, rows, stride, acc, (<usize>t.dv8) << 2, n, d);
  }
}

/** Keys [first, first + n) of one step, first a multiple of 8 from its start. */
function attendKeys(p: DecodeParams, s: Sequence, t: Tiles, h: i32, live: i32, first: i32, n: i32): void {
  for (let from = 0; from < n;) {
    const run = runLength(p, first + from, n - from);
    scoreRun(p, s, t, h, first + from, run, from);
    from += run;
  }
  const padded = roundUpNR(n);
  const plain = plainScores(p);
  for (let r = 0; r < live; ++r) {
    const i = r / p.group;
    const head = h * p.group + (r - i * p.group);
    const row = t.s + <usize>r * SCORE_ROW;
    for (let j = n; j < padded; ++j) store<f32>(row + ((<usize>j) << 2), -Infinity);
    if (!plain || firstKey(p, s, i) > first || endKey(p, s, i) < first + n) {
      if (p.keyBias) {
        const block = first >> BLOCK_K_SHIFT;
        loadKeyBias(p, s, head, block, t.keyBias);
      }
      modifyRow(p, s, head, i, first, row, padded, t.keyBias + ((<usize>(first & (BLOCK_K - 1))) << 2), ~0);
    }
  }
  softmaxStep(live, false, t.s, SCORE_ROW, padded, t.m, t.l, t.acc, (<usize>t.dv8) << 2, t.dv8 >> 3, 32);
  for (let from = 0; from < n;) {
    const run = runLength(p, first + from, n - from);
    mixRun(p, s, t, h, first + from, run, from);
    from += run;
  }
}

/** Floats of one row of partials: o, then m and l. */
// @ts-ignore: decorator
@inline
function partialFloats(p: DecodeParams): i32 {
  return roundUpNR(p.dv) + 8;
}

/** Address of a row of partials. */
// @ts-ignore: decorator
@inline
export function partialAt(p: DecodeParams, sequence: i32, h: i32, split: i32, row: i32): usize {
  const index = ((sequence * p.kvHeads + h) * p.splits + split) * p.rows + row;
  return p.partials + <usize>index * ((<usize>partialFloats(p)) << 2);
}

/**
 * Attention of a few queries over one span of a long cache, unnormalised.
 *
 *   q      [B, Tq, H, dk]        f32, f16 or bf16
 *   k      [B, Tk, Hkv, dk]      f32, f16, bf16 or i8; with pageTable [pages, pageSize, Hkv, dk]
 *   kRest  [B, Tk, dr]           k has dk - dr elements then, and all heads of a token the same last dr
 *   v      [B, Tk, Hkv, dv]      likewise; may be a view of k
 *   kScale, vScale  f32 [B, Tk, Hkv], or by pages; i8 only
 *   partials  f32, see DecodeParams; must not alias an input
 *   other operands as in flash
 *
 * All query heads that share a key/value head go through its keys together. Flash-Decoding (Dao 2023).
 * i8 keys and values of single rows use quantised queries and weights (at least 14 bits) and exact integer sums: a score
 * is off by at most max |q| / 16382 times the sum of |k|, which is 64 times below the step of the keys themselves.
 *
 * Item: one (sequence, split, key/value head). Scratch: decodeScratchBytes.
 */
export function decode(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DecodeParams>(params);
  const t = carve(p, scratch);
  const span = spanOf(p, t);
  for (let item = begin; item < end; ++item) {
    const h = item % p.kvHeads;
    const split = (item / p.kvHeads) % p.splits;
    const sequence = item / (p.kvHeads * p.splits);
    const s = sequenceAt(p.sequences, sequence);
    const live = s.qLength * p.group;
    if (live == 0) continue;
    loadQueries(p, s, t, h, live);
    memory.fill(t.acc, 0, (<usize>(t.rows * t.dv8)) << 2);
    memory.fill(t.l, 0, (<usize>t.rows) << 4);
    for (let r = 0; r < t.rows; ++r) store<f32>(t.m + ((<usize>r) << 2), -Infinity);

    const low = max(split * p.splitKeys, firstKey(p, s, 0)) & ~7;
    const high = min((split + 1) * p.splitKeys, endKey(p, s, s.qLength - 1));
    for (let first = low; first < high;) {
      const n = min(high - first, span - (first & (span - 1)));
      attendKeys(p, s, t, h, live, first, n);
      first += n;
    }
    if (t.vMode == NARROW && p.vType != I8) joinEights(t.acc, t.dv8);
    if (t.vMode == NARROW && p.vType == F16) {
      const factor = f32x4.splat(HALF_OUTPUT);
      for (let i: usize = 0; i < (<usize>t.dv8) << 2; i += 16)
        v128.store(t.acc + i, f32x4.mul(v128.load(t.acc + i), factor));
    }
    for (let r = 0; r < live; ++r) {
      const out = partialAt(p, sequence, h, split, r);
      memory.copy(out, t.acc + <usize>(r * t.dv8) * 4, (<usize>t.dv8) << 2);
      store<f32>(out + ((<usize>t.dv8) << 2), load<f32>(t.m + ((<usize>r) << 2)));
      store<f32>(out + ((<usize>t.dv8) << 2), sum4(v128.load(t.l + ((<usize>r) << 4))), 4);
    }
  }
}

/**
 * Joins the partials of all splits of a row, in order, and writes o and lse, or joins them with what is there.
 *
 *   m = max m_s,  l = sum l_s 2^(m_s - m),  o = sum o_s 2^(m_s - m) / l
 *
 * Item: one (sequence, key/value head, row). Scratch: f32 [ceil8(dv)] and 16 bytes.
 */
export function decodeMerge(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<DecodeParams>(params);
  const dv8 = roundUpNR(p.dv);
  const rowEnd = changetype<RowEnd>(scratch + ((<usize>dv8) << 2));
  for (let item = begin; item < end; ++item) {
    const row = item % p.rows;
    const h = (item / p.rows) % p.kvHeads;
    const sequence = item / (p.rows * p.kvHeads);
    const s = sequenceAt(p.sequences, sequence);
    if (row >= s.qLength * p.group) continue;
    const i = row / p.group;
    const head = h * p.group + (row - i * p.group);
    let m: f32 = -Infinity;
    for (let split = 0; split < p.splits; ++split) {
      m = max(m, load<f32>(partialAt(p, sequence, h, split, row) + ((<usize>dv8) << 2)));
    }
    let l: f32 = 0;
    memory.fill(scratch, 0, (<usize>dv8) << 2);
    for (let split = 0; split < p.splits; ++split) {
      const partial = partialAt(p, sequence, h, split, row);
      const own = load<f32>(partial + ((<usize>dv8) << 2));
      // a split without a visible key has nothing but zeros, or NaN that must come through
      const weight: f32 = own == -Infinity ? 1 : exp2(own - m);
      l += weight * load<f32>(partial + ((<usize>dv8) << 2), 4);
      const factor = f32x4.splat(weight);
      for (let c: usize = 0; c < (<usize>dv8) << 2; c += 16) {
        v128.store(scratch + c, f32x4.add(v128.load(scratch + c), f32x4.mul(factor, v128.load(partial + c))));
      }
    }
    closeRow(p, head, m, l, keyBiasBase(p, s, head, i), rowEnd);
    joinRow(p, s, head, i, rowEnd);
    writeLse(p, s, head, i, rowEnd.lse);
    writeStrips(scratch, 32, outputRow(p, s, head, i), p.dv, rowEnd.inverse * outGain(p, s, head), rowEnd.keep);
  }
}
