import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { FlashQuantiseParams, Sequence } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { bytePanelBytes, PANEL_HEAD } from './byte-panels';
import { gatherScales } from './cache';
import { scatterValueRow } from './pack';
import {
  codes4,
  factorOf,
  FP8,
  INT8,
  mostCode,
  mostOf,
  QUERY_OFFSET,
  SAGE3,
  scoresInBytes,
  unitOf,
} from './quantization';
import { E2M1_MOST, e2m1, E4M3_MOST, e4m3, FP4_GROUP, roundScaled, turnHadamard } from './round';
import { roundedWidth, roundRows } from './round-rows';
import { sequenceAt, sequenceOfBlock } from './sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR, SCORE_ROW } from './tile';

/** Place of a sequence's and head's statistics of d numbers; 0 where there are none. */
export function statisticsAt(base: usize, sequences: usize, s: Sequence, kvHeads: i32, h: i32, d: i32): usize {
  if (!base) return 0;
  const number = <i32>((changetype<usize>(s) - sequences) / offsetof<Sequence>());
  return base + ((<usize>((number * kvHeads + h) * d)) << 2);
}

/** `rows` keys, or values, from `first` on as f32 [rows][width] less a mean, if it is there; zero past d. Scratch before `to`. */
export function widenTile(
  p: FlashQuantiseParams,
  s: Sequence,
  values: bool,
  h: i32,
  first: i32,
  rows: i32,
  mean: usize,
  to: usize,
  width: i32,
): void {
  const d = values ? p.dv : p.dk;
  const type = values ? p.vType : p.kType;
  const strideB = values ? p.vStrideB : p.kStrideB;
  const strideT = values ? p.vStrideT : p.kStrideT;
  const strideH = values ? p.vStrideH : p.kStrideH;
  const scale = values ? p.vScale : p.kScale;
  const scales = to - SCALES_BYTES;
  if (scale) gatherScales(p, s, scale, first, rows, h, scales);
  const start = <usize>s.batch * <usize>strideB + <usize>(s.kStart + first) * <usize>strideT + <usize>(h * strideH);
  let from = (values ? p.v : p.k) + start * elementBytes(type);
  const bytes = (<usize>d) << 2;
  for (let j: usize = 0; j < <usize>rows; ++j) {
    widenRow(from, type, to, d, scale ? load<f32>(scales + (j << 2)) : 1);
    if (mean) for (let i: usize = 0; i < bytes; i += 4) store<f32>(to + i, load<f32>(to + i) - load<f32>(mean + i));
    memory.fill(to + bytes, 0, ((<usize>width) << 2) - bytes);
    from += <usize>strideT * elementBytes(type);
    to += (<usize>width) << 2;
  }
}

/** Bytes before a tile of widened rows. */
export const SCALES_BYTES: usize = (<usize>BLOCK_K) << 2;

/**
 * Rows as codes, eight to a byte panel: keys, or columns of values.
 *
 *   from     f32 [rows][width]   width a multiple of 8
 *   offset   what is added to the codes that meet these, times the sum of codes of a row taken off in its panel's head
 *
 * With `shared` all rows have one unit.
 */
function packBytes(from: usize, rows: i32, width: i32, steps: f32, shared: bool, offset: i32, out: usize): void {
  const rowBytes = (<usize>width) << 2;
  const panelBytes = bytePanelBytes(width);
  memory.fill(out, 0, <usize>(roundUpNR(rows) / NR) * panelBytes);
  let most: f32 = shared ? mostOf(from, rows * width) : 0;
  for (let j = 0; j < rows; ++j) {
    if (!shared) most = mostOf(from, width);
    const factor = f32x4.splat(factorOf(most, steps));
    const head = out + <usize>(j / NR) * panelBytes + ((<usize>(j & (NR - 1))) << 2);
    let sum = i32x4.splat(0);
    let to = head + PANEL_HEAD;
    for (const end = from + rowBytes; from < end; from += 16) {
      const codes = codes4(v128.load(from), factor);
      sum = i32x4.add(sum, codes);
      const narrow = i16x8.narrow_i32x4_s(codes, codes);
      v128.store_lane<u32>(to, i8x16.narrow_i16x8_s(narrow, narrow), 0);
      to += 32;
    }
    const pairs = i32x4.add(sum, i32x4.shuffle(sum, sum, 2, 3, 0, 1));
    store<i32>(head, -offset * (i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)));
    store<f32>(head, unitOf(most, steps), 32);
  }
}

/** Values of one block as byte panels, with a unit for each column; `columns` has room for f32 [8][64] and [8][8]. */
function packValueBytes(tile: usize, rows: i32, width: i32, steps: f32, columns: usize, out: usize): void {
  const stride = (<usize>width) << 2;
  const eights = columns + <usize>(NR * BLOCK_K * 4);
  memory.fill(tile + <usize>rows * stride, 0, <usize>(BLOCK_K - rows) * stride);
  for (let c: usize = 0; c < stride; c += 32) {
    for (let j: usize = 0; j < <usize>BLOCK_K; j += 8) {
      transposePanel(tile + j * stride + c, stride, eights, NR);
      for (let i: usize = 0; i < <usize>NR; ++i) memory.copy(columns + i * SCORE_ROW + (j << 2), eights + (i << 5), 32);
    }
    packBytes(columns, NR, BLOCK_K, steps, false, 0, out);
    out += bytePanelBytes(BLOCK_K);
  }
}

/** Keys of one block, f32 [rows][depth], rounded and, after them, for SageAttention2 and 3, as they were; as panels [8][depth][8]. */
function packRoundedKeys(p: FlashQuantiseParams, tile: usize, rows: i32, out: usize): void {
  const width = roundedWidth(p.quantization, p.depth);
  const rowBytes = (<usize>p.depth) << 2;
  for (let j: usize = 0; j < <usize>rows; ++j) {
    const row = tile + j * rowBytes;
    if (width < p.depth) memory.copy(row + ((<usize>width) << 2), row, (<usize>width) << 2);
    if (p.hadamard) turnHadamard(row, p.dk);
  }
  roundRows(p.quantization, true, rows, tile, rowBytes, width, tile - SCALES_BYTES);
  memory.fill(tile + <usize>rows * rowBytes, 0, <usize>(roundUpNR(rows) - rows) * rowBytes);
  for (let j: usize = 0; j < <usize>rows; j += NR) {
    transposePanel(tile + j * rowBytes, rowBytes, out + j * rowBytes, p.depth);
  }
}

/**
 * Rounds columns of f32 [rows][stride / 4] in place: in NVFP4, groups of 16 rows, or to e4m3 with a scale by the column's largest magnitude
 * of the sequence.
 */
function roundColumns(tile: usize, rows: i32, stride: usize, fp4: bool, largest: usize): void {
  const group = <usize>(fp4 ? FP4_GROUP : rows) * stride;
  const end = tile + <usize>rows * stride;
  for (let c: usize = 0; c < stride; c += 16) {
    for (let first = tile + c; first < end; first += group) {
      const last = min(end, first + group);
      let most = i32x4.splat(0);
      if (fp4) for (let at = first; at < last; at += stride) most = f32x4.max(most, f32x4.abs(v128.load(at)));
      else most = v128.load(largest + c);
      let unit = f32x4.mul(most, f32x4.splat(fp4 ? 1 / E2M1_MOST : 1 / E4M3_MOST));
      // what is not finite makes the scale NaN
      if (fp4) unit = f32x4.add(e4m3(unit), f32x4.sub(most, most));
      const factor = v128.andnot(f32x4.div(f32x4.splat(1), unit), f32x4.lt(unit, f32x4.splat(1e-34)));
      for (let at = first; at < last; at += stride) {
        const x = f32x4.mul(v128.load(at), factor);
        v128.store(at, f32x4.mul(fp4 ? e2m1(x) : e4m3(x), unit));
      }
    }
  }
}

/** Values of one block rounded, as f32 panels [strip][64][8]. */
function packRoundedValues(
  p: FlashQuantiseParams,
  tile: usize,
  rows: i32,
  width: i32,
  largest: usize,
  out: usize,
): void {
  const stride = (<usize>width) << 2;
  if (p.quantization == FP8) roundScaled(tile, rows * width, mostOf(tile, rows * width), false);
  else roundColumns(tile, rows, stride, p.quantization == SAGE3, largest);
  memory.fill(tile + <usize>rows * stride, 0, <usize>(roundUpNR(rows) - rows) * stride);
  for (let j = 0; j < roundUpNR(rows); ++j) scatterValueRow(tile + <usize>j * stride, out, j, p.dv);
}

/**
 * Packs keys and values in rounded form, zero where a block passes the end.
 *
 *   k, v, kScale, vScale   as flashPack takes them
 *   kMeans                 taken off the keys first
 *   kPack                  [Hkv, blocks, 8] byte panels of eight keys, as bytePanels reads them
 *   vMeans, vMost          SageAttention2: taken off the values first; the largest magnitudes of what is left
 *   vPack                  [Hkv, blocks, ceil8(dv) / 8] byte panels of eight columns; or absent
 *
 *   int8: code = round(x / unit), unit = max |x| / 63 of a key, or of a column of 64 values. SageAttention (Zhang 2024): max |x| / 127 of 64
 *   keys. The others round as theirs, and kPack [Hkv, blocks, 8, depth, 8] and vPack are f32, as flashPack's: SageAttention2 int8 keys by
 *   fours of pairs and e4m3 values by column, SageAttention3 NVFP4, groups of 16 along the products' sums, fp8 e4m3 by block.
 *
 * Item: one (64-key block, key/value head). Scratch: f32 [64, 10 + width], width the larger of depth and
 * ceil8(max(dk, dv)).
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
    const mean = statisticsAt(p.kMeans, p.sequences, s, p.kvHeads, h, p.dk);
    const codes = scoresInBytes(p.quantization);
    const steps = mostCode(p.quantization);
    const keyWidth = codes ? roundUpNR(p.dk) : p.depth;
    widenTile(p, s, false, h, first, rows, mean, tile, keyWidth);
    if (codes) {
      const own = p.quantization == INT8;
      packBytes(tile, rows, keyWidth, steps, !own, QUERY_OFFSET, p.kPack + at * keyBlockBytes(p.dk));
    } else packRoundedKeys(p, tile, rows, p.kPack + at * <usize>(BLOCK_K * p.depth * 4));
    if (!p.vPack) continue;
    const vMean = statisticsAt(p.vMeans, p.sequences, s, p.kvHeads, h, p.dv);
    const width = roundUpNR(p.dv);
    widenTile(p, s, true, h, first, rows, vMean, tile, width);
    if (p.quantization == INT8) {
      packValueBytes(
        tile,
        rows,
        width,
        steps,
        tile + <usize>(BLOCK_K * width * 4),
        p.vPack + at * valueBlockBytes(p.dv),
      );
    } else {
      const most = statisticsAt(p.vMost, p.sequences, s, p.kvHeads, h, p.dv);
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
