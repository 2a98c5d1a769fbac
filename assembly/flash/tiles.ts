import { MR } from '../gemm/panel';
import { FlashParams, Sequence } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { largestNorm } from './bound';
import { keyBlockBytes, valueBlockBytes } from './pack-quantised';
import { INT8, scoresInBytes } from './quantization';
import { BLOCK_K, roundUpNR, rowGroups, SCORE_ROW } from './tile';

/** One 8-wide strip of the output tile of a row group. */
export const STRIP: usize = <usize>MR * 32;

/** Scratch of one thread, carved into the tiles of a query block. */
@unmanaged
export class Tiles {
  /** f32 [groups * MR, dk], scaled; then r likewise where there is one. */
  q: usize;
  r: usize;
  /** f32 [MR, 64], and the same for r. */
  s: usize;
  s2: usize;
  /** f32 [groups, strips, MR, 8]; parallax: strips of o, of its second sum, and one of sum p r.k. */
  o: usize;
  strips: i32;
  /** f32 [groups * MR] and [groups * MR, 4]. */
  m: usize;
  l: usize;
  /** f32 [groups]: largest norm of a group's queries. */
  qNorms: usize;
  /** f32 [2, 64] biases of the block's keys. */
  keyBias: usize;
  rowEnd: usize;
  /** f32 [groups * MR] largest score of each row so far, where rows may pass over keys. */
  top: usize;
  end: usize;
  /** The block of keys at hand: packed keys, the largest of their norms, packed values. */
  keys: usize;
  keyNorm: f32;
  values: usize;
  /** f32 [rows, 64] scores of the block at hand where they are known already, else 0. */
  given: usize;
  /** LiveRows. */
  live: usize;
  /** Quantised: f32 [groups * MR, dk] query rows before they are rounded. */
  raw: usize;
  /** Scores in bytes: codes of the queries (else a row for their mean), their units, one row padded to whole octets. */
  codes: usize;
  units: usize;
  padded: usize;
  /** int8: codes of a row group's weights u8 [MR, 64], and their units f32 [MR]. */
  weights: usize;
  weightUnits: usize;
}

const TILES_BYTES: usize = 128;
const LIVE_BYTES: usize = 64;

export function carve(p: FlashParams, at: usize): Tiles {
  const t = changetype<Tiles>(at);
  const rows = <usize>(rowGroups(p.blockQ) * MR);
  const strips = roundUpNR(p.dv) >> 3;
  const depth = <usize>(p.depth ? p.depth : p.dk);
  const qBytes = (rows * depth * 4 + 15) & ~15;
  t.strips = p.r ? strips * 2 + 1 : strips;
  t.live = at + TILES_BYTES;
  t.q = t.live + LIVE_BYTES;
  t.r = t.q + qBytes;
  t.s = p.r ? t.r + qBytes : t.r;
  t.s2 = t.s + <usize>MR * SCORE_ROW;
  t.o = p.r ? t.s2 + <usize>MR * SCORE_ROW : t.s2;
  t.m = t.o + rows * <usize>t.strips * 32;
  t.l = t.m + ((rows * 4 + 15) & ~15);
  t.qNorms = t.l + rows * 16;
  t.keyBias = t.qNorms + ((rows * 4 + 15) & ~15);
  t.rowEnd = t.keyBias + SCORE_ROW * 2;
  t.top = t.rowEnd + 16;
  t.end = p.hasSkip ? t.top + ((rows * 4 + 15) & ~15) : t.top;
  t.given = 0;
  if (p.quantization) carveQuantised(p, t, rows);
  return t;
}

/** What only quantised attention needs, behind the rest. */
function carveQuantised(p: FlashParams, t: Tiles, rows: usize): void {
  const width = <usize>roundUpNR(max(p.dk, p.depth));
  t.weights = t.end;
  t.weightUnits = t.weights + <usize>MR * 64;
  t.units = t.weightUnits + 32;
  t.codes = t.units + ((rows * 4 + 15) & ~15);
  t.padded = t.codes + ((max(rows, 4) * width + 15) & ~15);
  t.raw = t.padded + width * 4;
  t.end = t.raw + ((rows * <usize>p.dk * 4 + 31) & ~15);
}

/** Rows of a query block, scaled and contiguous, zero past the end. */
export function packRows(src: usize, type: i32, stride: i32, rows: i32, dst: usize, d: i32, scale: f32): void {
  const bytes = elementBytes(type);
  const rowBytes = (<usize>d) << 2;
  for (let i = 0; i < rows; ++i) {
    widenRow(src + <usize>(i * stride) * bytes, type, dst + <usize>i * rowBytes, d, scale);
  }
  memory.fill(dst + <usize>rows * rowBytes, 0, <usize>(rowGroups(rows) * MR - rows) * rowBytes);
}

/** Empties the sums of a query block of packed rows. */
export function openBlock(p: FlashParams, t: Tiles, rows: i32): void {
  const padded = rowGroups(rows) * MR;
  if (!p.quantization) measureQueries(p, t, rows);
  memory.fill(t.o, 0, <usize>(padded * t.strips) * 32);
  memory.fill(t.l, 0, (<usize>padded) << 4);
  for (let i = 0; i < padded; ++i) store<f32>(t.m + ((<usize>i) << 2), -Infinity);
  if (p.hasSkip) memory.copy(t.top, t.m, (<usize>padded) << 2);
}

/** Norms of the groups of packed query rows. */
export function measureQueries(p: FlashParams, t: Tiles, rows: i32): void {
  for (let g = 0; g < rowGroups(rows); ++g) {
    const rowsQ = t.q + <usize>(g * MR * p.dk) * 4;
    store<f32>(t.qNorms + ((<usize>g) << 2), largestNorm(rowsQ, (<usize>p.dk) << 2, MR, p.dk));
  }
}

/** Points at packed block `block` of a sequence for head h. */
export function selectBlock(p: FlashParams, s: Sequence, t: Tiles, h: i32, block: i32): void {
  const packed = <usize>((h / p.group) * p.blocks + s.packBlock + block);
  if (p.quantization) {
    selectQuantised(p, t, packed);
    return;
  }
  t.keys = p.kPack + packed * <usize>(BLOCK_K * p.dk * 4);
  t.keyNorm = load<f32>(p.kNorms + (packed << 2));
  t.values = p.vPack + packed * <usize>(roundUpNR(p.dv) >> 3) * <usize>(BLOCK_K * 32);
}

/** The same where keys, and perhaps values, are rounded; scores of rounded numbers have no bound that is known beforehand. */
function selectQuantised(p: FlashParams, t: Tiles, packed: usize): void {
  const codes = scoresInBytes(p.quantization);
  t.keys = p.kPack + packed * (codes ? keyBlockBytes(p.dk) : <usize>(BLOCK_K * p.depth) * 4);
  t.keyNorm = Infinity;
  const values = p.quantization == INT8 ? valueBlockBytes(p.dv) : <usize>(roundUpNR(p.dv) >> 3) * <usize>(BLOCK_K * 32);
  t.values = p.vPack + packed * values;
}
