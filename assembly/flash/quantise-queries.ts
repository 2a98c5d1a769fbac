import { MR } from '../gemm/panel';
import { FlashParams } from '../params';
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
import { roundE4m3, roundFp4, turnHadamard } from './round';
import { rowGroups } from './tile';
import { Tiles } from './tiles';

/** Codes of f32 [d], d a multiple of 4, plus `offset`. */
function writeCodes(x: usize, d: i32, factor: f32, offset: i32, to: usize): void {
  const factors = f32x4.splat(factor);
  const offsets = i32x4.splat(offset);
  for (const end = x + ((<usize>d) << 2); x < end; x += 16) {
    const codes = i16x8.narrow_i32x4_s(i32x4.add(codes4(v128.load(x), factors), offsets), offsets);
    v128.store_lane<u32>(to, i8x16.narrow_i16x8_s(codes, codes), 0);
    to += 4;
  }
}

/**
 * The query rows of a block as codes.
 *
 *   t.raw    f32 [groups * MR, dk]        scaled, zero past the end
 *   t.codes  i8 [groups * MR, ceil8(dk)]  with QUERY_OFFSET added where the relaxed dot product takes them
 *   t.units  f32 [groups * MR]            int8: a row's own; SageAttention: one for all rows
 */
function queryCodes(p: FlashParams, t: Tiles, rows: i32): void {
  const padded = rowGroups(rows) * MR;
  const width = (p.dk + 7) & ~7;
  const steps = mostCode(p.quantization);
  const shared = p.quantization != INT8;
  const offset = !shared && p.relaxedDot ? QUERY_OFFSET : 0;
  const row = t.padded;
  memory.fill(row, 0, (<usize>width) << 2);
  let most: f32 = 0;
  if (shared) {
    for (let i = 0; i < rows; ++i) {
      memory.copy(row, t.raw + ((<usize>(i * p.dk)) << 2), (<usize>p.dk) << 2);
      most = max<f32>(most, mostOf(row, width));
    }
  }
  for (let i = 0; i < padded; ++i) {
    memory.copy(row, t.raw + ((<usize>(i * p.dk)) << 2), (<usize>p.dk) << 2);
    if (!shared) most = mostOf(row, width);
    writeCodes(row, width, factorOf(most, steps), offset, t.codes + <usize>(i * width));
    store<f32>(t.units + ((<usize>i) << 2), unitOf(most, steps));
  }
}

/** mean[d] of `rows` rows of d numbers. */
function meanOfRows(x: usize, rows: i32, d: i32, mean: usize): void {
  for (let i: usize = 0, bytes = (<usize>d) << 2; i < bytes; i += 4) {
    let sum: f32 = 0;
    for (let r: usize = 0; r < <usize>rows; ++r) sum += load<f32>(x + r * bytes + i);
    store<f32>(mean + i, sum / <f32>rows);
  }
}

/** Number of the group of 128 queries' rows that share a scale in SageAttention2: four rows of 32, eight apart. */
// @ts-ignore: decorator
@inline
function groupOfRow(i: i32): i32 {
  return ((i >> 5) << 3) + (i & 7);
}

/** x[d] times `factor`. */
function multiply(x: usize, d: i32, factor: f32): void {
  for (let i: usize = 0; i < (<usize>d) << 2; i += 4) store<f32>(x + i, load<f32>(x + i) * factor);
}

/** x[n] as codes of int8, times their unit; n a multiple of 4. */
export function roundInt8(x: usize, n: i32, most: f32): void {
  const factor = f32x4.splat(factorOf(most, 127));
  const unit = f32x4.splat(unitOf(most, 127));
  for (const end = x + ((<usize>n) << 2); x < end; x += 16) {
    v128.store(x, f32x4.mul(f32x4.convert_i32x4_s(codes4(v128.load(x), factor)), unit));
  }
}

/** Rounds a row by the numbers that it shares a scale with, or by its own groups; `padded` has room for it. */
function roundRow(quantization: i32, row: usize, d: i32, most: f32, padded: usize): void {
  const width = (d + 3) & ~3;
  memory.fill(padded, 0, (<usize>width) << 2);
  memory.copy(padded, row, (<usize>d) << 2);
  if (quantization == SAGE2) roundInt8(padded, width, most);
  else if (quantization == SAGE3) roundFp4(padded, width);
  else roundE4m3(padded, width, most);
  memory.copy(row, padded, (<usize>d) << 2);
}

/** Largest magnitude of f32 [d], d any; NaN if any value is. */
function mostOfRow(row: usize, d: i32): f32 {
  let most: f32 = 0;
  for (let i: usize = 0; i < (<usize>d) << 2; i += 4) most = max<f32>(most, abs<f32>(load<f32>(row + i)));
  return most;
}

/**
 * The query rows of a block as rounded floats, then times `factor`.
 *
 *   t.raw   f32 [groups * MR, dk]
 *   t.q     f32 [groups * MR, depth]   SageAttention2 and 3: rows less the block's mean, rounded, then the mean itself;
 *                                      fp8: rounded rows, turned before if `hadamard`
 *   t.units f32 [groups * MR]          scratch
 */
function roundQueries(p: FlashParams, t: Tiles, rows: i32, factor: f32): void {
  const kind = p.quantization;
  const rowBytes = (<usize>p.depth) << 2;
  const dBytes = (<usize>p.dk) << 2;
  const width = kind == FP8 ? p.depth : p.dk;
  const smooth = kind != FP8;
  const mean = t.codes;
  memory.fill(t.q, 0, <usize>(rowGroups(rows) * MR) * rowBytes);
  memory.fill(t.units, 0, (<usize>(rowGroups(rows) * MR)) << 2);
  if (smooth) meanOfRows(t.raw, rows, p.dk, mean);
  for (let i = 0; i < rows; ++i) {
    const row = t.q + <usize>i * rowBytes;
    memory.copy(row, t.raw + <usize>i * dBytes, dBytes);
    if (smooth) {
      for (let c: usize = 0; c < dBytes; c += 4) store<f32>(row + c, load<f32>(row + c) - load<f32>(mean + c));
      memory.copy(row + dBytes, mean, dBytes);
      multiply(row + dBytes, p.dk, factor);
    } else if (p.hadamard) turnHadamard(row, width);
    const shared = t.units + (kind == SAGE2 ? (<usize>groupOfRow(i)) << 2 : 0);
    store<f32>(shared, max<f32>(load<f32>(shared), mostOfRow(row, width)));
  }
  for (let i = 0; i < rows; ++i) {
    const row = t.q + <usize>i * rowBytes;
    const shared = t.units + (kind == SAGE2 ? (<usize>groupOfRow(i)) << 2 : 0);
    roundRow(kind, row, width, load<f32>(shared), t.padded);
    multiply(row, width, factor);
  }
}

/** The rows of a block in the form that its keys have, for scores in the units of `factor`. */
export function quantiseQueries(p: FlashParams, t: Tiles, rows: i32, factor: f32): void {
  if (scoresInBytes(p.quantization)) queryCodes(p, t, rows);
  else roundQueries(p, t, rows, factor);
}
