import { MR } from '../gemm/panel';
import { FlashParams } from '../params';
import { codes4, factorOf, FP8, INT8, mostCode, mostOf, QUERY_OFFSET, scoresInBytes, unitOf } from './quantization';
import { turnHadamard } from './round';
import { roundedWidth, roundRows } from './round-rows';
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
  // a row of padding may be less than a vector
  memory.fill(t.raw + ((<usize>(padded * p.dk)) << 2), 0, 16);
  let most = mostOf(t.raw, (rows * p.dk + 3) & ~3);
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

/**
 * The query rows of a block as rounded floats, then times `factor`.
 *
 *   t.raw   f32 [groups * MR, dk]
 *   t.q     f32 [groups * MR, depth]   SageAttention2 and 3: rows less the block's mean, rounded, then the mean itself;
 *                                      fp8: rounded rows, turned before if `hadamard`
 *   t.units f32 [groups * MR]          scratch
 */
function roundQueries(p: FlashParams, t: Tiles, rows: i32, factor: f32): void {
  const rowBytes = (<usize>p.depth) << 2;
  const dBytes = (<usize>p.dk) << 2;
  const width = roundedWidth(p.quantization, p.depth);
  const smooth = p.quantization != FP8;
  const mean = t.codes;
  const padded = <usize>(rowGroups(rows) * MR);
  memory.fill(t.q, 0, padded * rowBytes);
  if (smooth) meanOfRows(t.raw, rows, p.dk, mean);
  for (let i = 0; i < rows; ++i) {
    const row = t.q + <usize>i * rowBytes;
    const raw = t.raw + <usize>i * dBytes;
    for (let c: usize = 0; c < dBytes; c += 4) {
      const off = smooth ? load<f32>(mean + c) : 0;
      store<f32>(row + c, load<f32>(raw + c) - off);
      if (smooth) store<f32>(row + ((<usize>width) << 2) + c, off);
    }
    if (p.hadamard) turnHadamard(row, p.dk);
  }
  roundRows(p.quantization, false, rows, t.q, rowBytes, width, t.units);
  const factors = f32x4.splat(factor);
  for (let at = t.q, end = t.q + padded * rowBytes; at < end; at += 16) {
    v128.store(at, f32x4.mul(v128.load(at), factors));
  }
}

/** The rows of a block in the form that its keys have, for scores in the units of `factor`. */
export function quantiseQueries(p: FlashParams, t: Tiles, rows: i32, factor: f32): void {
  if (scoresInBytes(p.quantization)) queryCodes(p, t, rows);
  else roundQueries(p, t, rows, factor);
}
