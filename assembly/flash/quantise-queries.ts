import { MR } from '../gemm/panel';
import { FlashParams } from '../params';
import { codes4, factorOf, INT8, mostCode, mostOf, QUERY_OFFSET, unitOf } from './quantization';
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
export function quantiseQueries(p: FlashParams, t: Tiles, rows: i32): void {
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
      memory.copy(row, t.raw + (<usize>(i * p.dk) << 2), (<usize>p.dk) << 2);
      most = max<f32>(most, mostOf(row, width));
    }
  }
  for (let i = 0; i < padded; ++i) {
    memory.copy(row, t.raw + (<usize>(i * p.dk) << 2), (<usize>p.dk) << 2);
    if (!shared) most = mostOf(row, width);
    writeCodes(row, width, factorOf(most, steps), offset, t.codes + <usize>(i * width));
    store<f32>(t.units + ((<usize>i) << 2), unitOf(most, steps));
  }
}
