import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { FlashQuantiseParams, Sequence } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { bytePanelBytes, PANEL_HEAD } from './byte-panels';
import { gatherScales, keyOffset } from './cache';
import { scatterValueRow } from './pack';
import {
  codes4,
  factorOf,
  FP8,
  INT8,
  mostCode,
  mostOf,
  QUERY_OFFSET,
  SAGE2,
  SAGE3,
  scoresInBytes,
  unitOf,
} from './quantization';
import { roundInt8 } from './quantise-queries';
import { e2m1, e4m3, E4M3_MOST, FP4_GROUP, fp4Scale, roundE4m3, roundFp4, turnHadamard } from './round';
import { sequenceAt, sequenceOfBlock } from './sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR } from './tile';

/** x[d] -= mean[d]. */
function takeOff(x: usize, mean: usize, d: i32): void {
  for (let i: usize = 0; i < (<usize>d) << 2; i += 4) store<f32>(x + i, load<f32>(x + i) - load<f32>(mean + i));
}

/** Place of a sequence's and head's statistics of d numbers. */
// @ts-ignore: decorator
@inline
export function statisticsAt(base: usize, sequence: i32, kvHeads: i32, h: i32, d: i32): usize {
  return base + ((<usize>((sequence * kvHeads + h) * d)) << 2);
}

/** `rows` keys from `first` on as f32 [rows][width], less their mean. */
function widenKeys(
  p: FlashQuantiseParams,
  s: Sequence,
  h: i32,
  first: i32,
  rows: i32,
  mean: usize,
  to: usize,
  width: i32,
): void {
  const bytes = elementBytes(p.kType);
  const scales = to - SCALES_BYTES;
  if (p.kScale) gatherScales(p, s, p.kScale, first, rows, h, scales);
  for (let j = 0; j < rows; ++j) {
    const row = to + ((<usize>(j * width)) << 2);
    const scale: f32 = p.kScale ? load<f32>(scales + ((<usize>j) << 2)) : 1;
    widenRow(
      p.k + keyOffset(p, s, first + j, h, p.kStrideB, p.kStrideT, p.kStrideH) * bytes,
      p.kType,
      row,
      p.dk,
      scale,
    );
    if (mean) takeOff(row, mean, p.dk);
    memory.fill(row + ((<usize>p.dk) << 2), 0, (<usize>(width - p.dk)) << 2);
  }
}

/** `rows` values likewise. */
function widenValues(
  p: FlashQuantiseParams,
  s: Sequence,
  h: i32,
  first: i32,
  rows: i32,
  mean: usize,
  to: usize,
  width: i32,
): void {
  const bytes = elementBytes(p.vType);
  const scales = to - SCALES_BYTES;
  if (p.vScale) gatherScales(p, s, p.vScale, first, rows, h, scales);
  for (let j = 0; j < rows; ++j) {
    const row = to + ((<usize>(j * width)) << 2);
    const scale: f32 = p.vScale ? load<f32>(scales + ((<usize>j) << 2)) : 1;
    widenRow(
      p.v + keyOffset(p, s, first + j, h, p.vStrideB, p.vStrideT, p.vStrideH) * bytes,
      p.vType,
      row,
      p.dv,
      scale,
    );
    if (mean) takeOff(row, mean, p.dv);
    memory.fill(row + ((<usize>p.dv) << 2), 0, (<usize>(width - p.dv)) << 2);
  }
}

/** Bytes before a tile of widened rows. */
const SCALES_BYTES: usize = (<usize>BLOCK_K) << 2;

/** Keys of one block as byte panels, with a unit for each key, or one for all of them. */
function packKeyBytes(p: FlashQuantiseParams, tile: usize, rows: i32, out: usize): void {
  const width = roundUpNR(p.dk);
  const rowBytes = (<usize>width) << 2;
  const steps = mostCode(p.quantization);
  const panelBytes = bytePanelBytes(p.dk);
  memory.fill(out, 0, <usize>(roundUpNR(rows) / NR) * panelBytes);
  const shared = p.quantization != INT8;
  let most: f32 = shared ? mostOf(tile, rows * width) : 0;
  for (let j = 0; j < rows; ++j) {
    const row = tile + <usize>j * rowBytes;
    if (!shared) most = mostOf(row, width);
    const factor = f32x4.splat(factorOf(most, steps));
    const head = out + <usize>(j / NR) * panelBytes + ((<usize>(j & (NR - 1))) << 2);
    let sum = i32x4.splat(0);
    let to = head + PANEL_HEAD;
    for (let i: usize = 0; i < rowBytes; i += 16) {
      const codes = codes4(v128.load(row + i), factor);
      sum = i32x4.add(sum, codes);
      const narrow = i16x8.narrow_i32x4_s(codes, codes);
      v128.store_lane<u32>(to, i8x16.narrow_i16x8_s(narrow, narrow), 0);
      to += 32;
    }
    const pairs = i32x4.add(sum, i32x4.shuffle(sum, sum, 2, 3, 0, 1));
    store<i32>(head, -QUERY_OFFSET * (i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)));
    store<f32>(head, unitOf(most, steps), 32);
  }
}

/** Codes of eight columns of four rows: two vectors of [4 columns][4 rows]. */
// @ts-ignore: decorator
@inline
function writeQuad(row: usize, stride: usize, factor: v128, to: usize): void {
  const low = i32x4.splat(255);
  let x = v128.and(codes4(v128.load(row), factor), low);
  x = v128.or(x, i32x4.shl(v128.and(codes4(v128.load(row + stride), factor), low), 8));
  x = v128.or(x, i32x4.shl(v128.and(codes4(v128.load(row + stride * 2), factor), low), 16));
  v128.store(to, v128.or(x, i32x4.shl(codes4(v128.load(row + stride * 3), factor), 24)));
}

/** Values of one block as byte panels, with a unit for each column. */
function packValueBytes(p: FlashQuantiseParams, tile: usize, rows: i32, out: usize): void {
  const width = roundUpNR(p.dv);
  const stride = (<usize>width) << 2;
  const steps = mostCode(p.quantization);
  const padded = roundUpNR(rows);
  memory.fill(tile + <usize>rows * stride, 0, <usize>(padded - rows) * stride);
  for (let c: usize = 0; c < stride; c += 16) {
    let most = i32x4.splat(0);
    for (let j: usize = 0; j < <usize>rows; ++j) most = f32x4.max(most, f32x4.abs(v128.load(tile + j * stride + c)));
    const half = out + (c >> 5) * bytePanelBytes(BLOCK_K) + (c & 16);
    v128.store(half, i32x4.splat(0));
    v128.store(half, most, 32);
    for (let lane: usize = 0; lane < 16; lane += 4)
      store<f32>(tile - 16 + lane, factorOf(load<f32>(half + lane, 32), steps));
    const factor = v128.load(tile - 16);
    for (let lane: usize = 0; lane < 16; lane += 4) {
      store<f32>(half + lane, unitOf(load<f32>(half + lane, 32), steps), 32);
    }
    let to = half + PANEL_HEAD;
    for (let j: usize = 0; j < <usize>padded; j += 4) {
      writeQuad(tile + j * stride + c, stride, factor, to);
      to += 32;
    }
  }
}

/** Largest magnitude of keys of a tile whose number in eight is 2 `pair` or the one after: they share a scale in SageAttention2. */
function mostOfPair(tile: usize, rows: i32, pair: i32, width: i32): f32 {
  let most: f32 = 0;
  for (let j = pair << 1; j < rows; j += 8) {
    most = max<f32>(most, mostOf(tile + ((<usize>(j * width)) << 2), j + 1 < rows ? width << 1 : width));
  }
  return most;
}

/** Keys of one block rounded, after them, for SageAttention2 and 3, the keys as they were, as f32 panels [8][depth][8]. */
function packRoundedKeys(p: FlashQuantiseParams, tile: usize, rows: i32, width: i32, out: usize): void {
  const kind = p.quantization;
  const rowBytes = (<usize>width) << 2;
  const depthBytes = (<usize>p.depth) << 2;
  const wide = tile + <usize>BLOCK_K * rowBytes;
  memory.fill(wide, 0, <usize>BLOCK_K * depthBytes);
  if (kind != FP8) {
    for (let j: usize = 0; j < <usize>rows; ++j) {
      memory.copy(wide + j * depthBytes + ((<usize>p.dk) << 2), tile + j * rowBytes, (<usize>p.dk) << 2);
    }
  }
  if (p.hadamard) for (let j: usize = 0; j < <usize>rows; ++j) turnHadamard(tile + j * rowBytes, p.depth);
  if (kind == FP8) roundE4m3(tile, rows * width, mostOf(tile, rows * width));
  for (let pair = 0; kind == SAGE2 && pair < 4; ++pair) {
    const most = mostOfPair(tile, rows, pair, width);
    for (let j = pair << 1; j < rows; j += 8) roundInt8(tile + <usize>j * rowBytes, min(2, rows - j) * width, most);
  }
  if (kind == SAGE3) for (let j: usize = 0; j < <usize>rows; ++j) roundFp4(tile + j * rowBytes, width);
  for (let j: usize = 0; j < <usize>rows; ++j) {
    memory.copy(wide + j * depthBytes, tile + j * rowBytes, (<usize>min(p.depth, p.dk)) << 2);
    if (kind == FP8) memory.copy(wide + j * depthBytes, tile + j * rowBytes, depthBytes);
  }
  for (let j: usize = 0; j < <usize>roundUpNR(rows); j += NR) {
    transposePanel(wide + j * depthBytes, depthBytes, out + j * depthBytes, p.depth);
  }
}

/** Numbers of column c of `rows` rows in NVFP4, groups of 16 rows. */
function roundColumnFp4(tile: usize, rows: i32, stride: usize, column: usize): void {
  for (let first = 0; first < rows; first += FP4_GROUP) {
    const last = min(rows, first + FP4_GROUP);
    let most: f32 = 0;
    for (let j = first; j < last; ++j) most = max<f32>(most, abs<f32>(load<f32>(tile + <usize>j * stride + column)));
    const scale = fp4Scale(most);
    const factor: f32 = scale == 0 ? 0 : 1 / scale;
    for (let j = first; j < last; ++j) {
      const at = tile + <usize>j * stride + column;
      store<f32>(at, f32x4.extract_lane(e2m1(f32x4.splat(load<f32>(at) * factor)), 0) * scale);
    }
  }
}

/** Values of one block rounded, as f32 panels [strip][64][8]. */
function packRoundedValues(p: FlashQuantiseParams, tile: usize, rows: i32, width: i32, most: usize, out: usize): void {
  const stride = (<usize>width) << 2;
  if (p.quantization == FP8) roundE4m3(tile, rows * width, mostOf(tile, rows * width));
  for (let c: usize = 0; c < (<usize>p.dv) << 2; c += 4) {
    if (p.quantization == SAGE3) roundColumnFp4(tile, rows, stride, c);
    if (p.quantization != SAGE2) continue;
    const largest = load<f32>(most + c);
    const factor = factorOf(largest, E4M3_MOST);
    const unit = unitOf(largest, E4M3_MOST);
    for (let at = tile + c, end = at + <usize>rows * stride; at < end; at += stride) {
      store<f32>(at, f32x4.extract_lane(e4m3(f32x4.splat(load<f32>(at) * factor)), 0) * unit);
    }
  }
  memory.fill(tile + <usize>rows * stride, 0, <usize>(roundUpNR(rows) - rows) * stride);
  for (let j = 0; j < roundUpNR(rows); ++j) scatterValueRow(tile + <usize>j * stride, out, j, p.dv);
}

/** Number of a sequence in its table. */
// @ts-ignore: decorator
@inline
export function sequenceNumber(table: usize, s: Sequence): i32 {
  return <i32>((changetype<usize>(s) - table) / offsetof<Sequence>());
}

/** Bytes of scratch that one thread of flashPackQuantised and flashStatistics needs. */
export function flashQuantiseScratchBytes(params: usize, scratch: usize): i32 {
  const p = changetype<FlashQuantiseParams>(params);
  const width = <usize>max(roundUpNR(max(p.dk, p.dv)), p.depth);
  return <i32>(SCALES_BYTES + <usize>BLOCK_K * (width + <usize>p.depth) * 4);
}

/**
 * Packs keys and values in rounded form, zero where a block passes the end.
 *
 *   k, v, kScale, vScale   as flashPack takes them
 *   kMeans                 taken off the keys first
 *   kPack                  [Hkv, blocks, 8] byte panels of eight keys (see bytePanels), one block's at an address of its own
 *   vMeans, vMost          SageAttention2: taken off the values first; the largest magnitudes of what is left
 *   vPack                  [Hkv, blocks, ceil8(dv) / 8] byte panels of eight columns; or absent
 *
 *   int8: code = round(x / unit), unit = max |x| / 63 of a key, or of a column of 64 values. SageAttention (Zhang 2024): max |x| / 127 of 64
 *   keys. The others round as theirs, and kPack [Hkv, blocks, 8, depth, 8] and vPack are f32, as flashPack's: SageAttention2 int8 keys by
 *   fours of pairs and e4m3 values by column, SageAttention3 NVFP4, groups of 16 along the products' sums, fp8 e4m3 by block.
 *
 * Item: one (64-key block, key/value head). Scratch: flashQuantiseScratchBytes.
 */
export function flashPackQuantised(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashQuantiseParams>(params);
  const tile = scratch + SCALES_BYTES;
  for (let item = begin; item < end; ++item) {
    const block = item / p.kvHeads;
    const h = item - block * p.kvHeads;
    const s = sequenceAt(p.sequences, sequenceOfBlock(p.sequences, p.sequenceCount, block));
    const first = (block - s.packBlock) << BLOCK_K_SHIFT;
    const rows = min(BLOCK_K, s.kLength - first);
    const at = <usize>(h * p.blocks + block);
    const mean = p.kMeans ? statisticsAt(p.kMeans, sequenceNumber(p.sequences, s), p.kvHeads, h, p.dk) : 0;
    const codes = scoresInBytes(p.quantization);
    const keyWidth = p.quantization == FP8 ? max(p.depth, roundUpNR(p.dk)) : roundUpNR(p.dk);
    widenKeys(p, s, h, first, rows, mean, tile, keyWidth);
    if (codes) packKeyBytes(p, tile, rows, p.kPack + at * keyBlockBytes(p.dk));
    else packRoundedKeys(p, tile, rows, keyWidth, p.kPack + at * <usize>(BLOCK_K * p.depth * 4));
    if (!p.vPack) continue;
    const number = sequenceNumber(p.sequences, s);
    const vMean = p.vMeans ? statisticsAt(p.vMeans, number, p.kvHeads, h, p.dv) : 0;
    const width = roundUpNR(p.dv);
    widenValues(p, s, h, first, rows, vMean, tile, width);
    if (p.quantization == INT8) {
      packValueBytes(p, tile, rows, p.vPack + at * valueBlockBytes(p.dv));
    } else {
      const most = p.vMost ? statisticsAt(p.vMost, number, p.kvHeads, h, p.dv) : 0;
      packRoundedValues(p, tile, rows, width, most, p.vPack + at * <usize>((width >> 3) * BLOCK_K * 32));
    }
  }
}

/** Bytes of a block of keys, and of one of values. */
// @ts-ignore: decorator
@inline
export function keyBlockBytes(dk: i32): usize {
  return <usize>(BLOCK_K / NR) * bytePanelBytes(dk);
}
// @ts-ignore: decorator
@inline
export function valueBlockBytes(dv: i32): usize {
  return <usize>(roundUpNR(dv) / NR) * bytePanelBytes(BLOCK_K);
}
