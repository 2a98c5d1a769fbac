import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR } from '../flash/tile';
import { sequenceAt, sequenceOfItem } from '../flash/sequence';
import { MR, NR, panel, panels } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { PathBlocksParams, Sequence } from '../params';
import { FOLDED_FLUSH, LOG2E } from '../simd/constants';
import { flushedBelow } from '../simd/flush';
import { elementBytes, widenRow } from '../simd/storage';
import { firstTileRow, roundUpMR, solveStrip } from './trisolve';

/** Rows of a block, rounded up to whole tiles. */
const ROWS: i32 = ((BLOCK_K + MR - 1) / MR) * MR;
/** Bytes of an 8-wide strip of a block, and of a row of a block by a block. */
const STRIP: usize = <usize>ROWS * 32;
const SQUARE_ROW: usize = (<usize>BLOCK_K) << 2;

/** Scratch of one thread. D is dk, rounded up to 8 as columns and to whole tiles as rows. */
@unmanaged
class Workspace {
  /** f32 [ROWS, dk]: rows -beta w, then of k, then of q; zero past the end. */
  rows: usize;
  /** f32 [8, dk, 8]: w packed as the right operand of a product with w^T. */
  wPanels: usize;
  /** f32 [D, 64]: w transposed, a left operand. */
  wT: usize;
  /** f32 [8, D, 8]: packed keys, then carried to the end of the block; and those carried to the end of the span. */
  kPanels: usize;
  kEnd: usize;
  /** f32 [ROWS, 64]: what the triangular systems are made of; then q w^T. */
  square: usize;
  /** f32 [ROWS, 64]: scores within the block. */
  local: usize;
  /** f32 strips: x [D / 8], z [8], both of ROWS rows. */
  x: usize;
  z: usize;
  /** f32 [D / 8, D, 8]: the block's transition. */
  carry: usize;
  /** f32 [D, D]: transitions of all later blocks of the span together, and room for the next. */
  later: usize;
  next: usize;
  /** f32 [ROWS, D] */
  qOut: usize;
  end: usize;
}

const WORKSPACE_BYTES: usize = 64;

function carve(dk: i32, at: usize): Workspace {
  const s = changetype<Workspace>(at);
  const row = (<usize>dk) << 2;
  const wide = (<usize>roundUpNR(dk)) << 2;
  const tall = <usize>roundUpMR(dk);
  s.rows = at + WORKSPACE_BYTES;
  s.wPanels = s.rows + ((<usize>ROWS * row + 15) & ~15);
  s.wT = s.wPanels + <usize>BLOCK_K * row;
  s.kPanels = s.wT + tall * SQUARE_ROW;
  s.kEnd = s.kPanels + tall * SQUARE_ROW;
  s.square = s.kEnd + tall * SQUARE_ROW;
  s.local = s.square + <usize>ROWS * SQUARE_ROW;
  s.x = s.local + <usize>ROWS * SQUARE_ROW;
  s.z = s.x + <usize>(roundUpNR(dk) >> 3) * STRIP;
  s.carry = s.z + 8 * STRIP;
  s.later = s.carry + tall * wide;
  s.next = s.later + tall * wide;
  s.qOut = s.next + tall * wide;
  s.end = s.qOut + <usize>ROWS * wide;
  return s;
}

/** Bytes of scratch that one thread of `pathBlocks` needs; `scratch` has room for 128 bytes. */
export function pathBlocksScratchBytes(params: usize, scratch: usize): i32 {
  return <i32>(carve(changetype<PathBlocksParams>(params).dk, scratch).end - scratch);
}

/** f32 [ROWS, d] rows of a block, times `scale`; zero past the end. */
function widenBlock(src: usize, type: i32, stride: i32, rows: i32, dst: usize, d: i32, scale: f32): void {
  const bytes = elementBytes(type);
  const rowBytes = (<usize>d) << 2;
  for (let i = 0; i < rows; ++i) {
    widenRow(src + <usize>(i * stride) * bytes, type, dst + <usize>i * rowBytes, d, scale);
  }
  memory.fill(dst + <usize>rows * rowBytes, 0, <usize>(ROWS - rows) * rowBytes);
}

/** dst [64 / 8, ...] panels of [d][8], `step` bytes apart, of 64 rows of d. */
function packBlock(rows: usize, d: i32, dst: usize, step: usize): void {
  const rowBytes = (<usize>d) << 2;
  for (let j = 0; j < BLOCK_K; j += NR) {
    transposePanel(rows + <usize>j * rowBytes, rowBytes, dst + <usize>(j >> 3) * step, d);
  }
}

/** dst [d, 64] row-major of panels [8][d][8]. */
function unpackColumns(src: usize, d: i32, dst: usize): void {
  for (let p: usize = 0; p < 8; ++p) {
    let to = dst + (p << 5);
    for (let i = 0; i < d; ++i) {
      v128.store(to, v128.load(src));
      v128.store(to, v128.load(src, 16), 16);
      src += 32;
      to += SQUARE_ROW;
    }
  }
}

/** Rows of strips [count][d][8], `step` bytes apart, to or from rows of `rowBytes`. */
function stripsToRows(strips: usize, step: usize, count: i32, d: i32, rows: usize, rowBytes: usize): void {
  for (let c: usize = 0; c < <usize>count; ++c) {
    let from = strips + c * step;
    let to = rows + (c << 5);
    for (let i = 0; i < d; ++i) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      from += 32;
      to += rowBytes;
    }
  }
}

/** The other way, into strips that lie one after another. */
function rowsToStrips(rows: usize, rowBytes: usize, count: i32, d: i32, strips: usize): void {
  for (let c: usize = 0; c < <usize>count; ++c) {
    let from = rows + (c << 5);
    for (let i = 0; i < d; ++i) {
      v128.store(strips, v128.load(from));
      v128.store(strips, v128.load(from, 16), 16);
      strips += 32;
      from += rowBytes;
    }
  }
}

/** Zero in row r of [ROWS, 64] from column r + 1 on, as far as tiles reach. */
function keepLower(square: usize): void {
  for (let r: usize = 0; r < <usize>BLOCK_K; ++r) {
    const row = square + r * SQUARE_ROW;
    memory.fill(row + ((r + 1) << 2), 0, SQUARE_ROW - ((r + 1) << 2));
  }
}

/**
 * The systems of one block, of rows w and -beta w:
 *
 *   A = -tril_<(beta w w^T),  X = -(I - A)^-1 beta w,  Z = -(I - A)^-1 tril_<(beta w k^T)
 *
 * and with them keys carried to the end of the block, k + Z^T w, and its transition I + w^T X.
 */
function solveBlock(p: PathBlocksParams, s: Workspace): void {
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const strips = roundUpNR(dk) >> 3;
  const tall = <usize>roundUpMR(dk) * 32;
  const panelBytes = rowBytes << 3;
  for (let i = 0; i < ROWS; i += MR) {
    const rows = s.rows + <usize>i * rowBytes;
    const below = min(8, (i + MR + 7) >> 3);
    panels(below, rows, rowBytes, s.wPanels, panelBytes, s.square + <usize>i * SQUARE_ROW, 32, SQUARE_ROW, dk, 0);
    panels(below, rows, rowBytes, s.kPanels, tall, s.z + ((<usize>i) << 5), STRIP, 32, dk, 0);
  }
  memory.fill(s.x, 0, <usize>strips * STRIP);
  for (let i: usize = 0; i < <usize>BLOCK_K; ++i) {
    const row = s.rows + i * rowBytes;
    const to = s.x + (i << 5);
    for (let c = 0; c < dk; ++c) {
      store<f32>(to + <usize>(c >> 3) * STRIP + ((<usize>(c & 7)) << 2), load<f32>(row + ((<usize>c) << 2)));
    }
  }
  for (let c = 0; c < strips; ++c) solveStrip(s.square, SQUARE_ROW, s.x + <usize>c * STRIP, BLOCK_K, 0);
  for (let c = 0; c < 8; ++c) {
    // column j is not zero from row j + 1 on
    const strip = s.z + <usize>c * STRIP;
    const column = c * NR;
    memory.fill(strip, 0, (<usize>(column + 1)) << 5);
    for (let j: usize = 1; j < <usize>NR; ++j) {
      memory.fill(strip + ((<usize>column + j) << 5) + (j << 2), 0, 32 - (j << 2));
    }
    solveStrip(s.square, SQUARE_ROW, strip, BLOCK_K, firstTileRow(column));
  }

  memory.fill(s.carry, 0, <usize>strips * tall);
  for (let d = 0; d < dk; ++d)
    store<f32>(s.carry + <usize>(d >> 3) * tall + ((<usize>d) << 5) + ((<usize>(d & 7)) << 2), 1);
  for (let d = 0; d < dk; d += MR) {
    const rows = s.wT + <usize>d * SQUARE_ROW;
    const to = (<usize>d) << 5;
    panels(strips, rows, SQUARE_ROW, s.x, STRIP, s.carry + to, tall, 32, BLOCK_K, 1);
  }
}

/** Keys of the block carried to its end: k + Z^T w, in place of its packed keys. */
function carryKeys(p: PathBlocksParams, s: Workspace): void {
  const tall = <usize>roundUpMR(p.dk) * 32;
  for (let c: usize = 0; c < 8; ++c) {
    const keys = s.kPanels + c * tall;
    const z = s.z + c * STRIP + (c << 8);
    for (let d = 0; d < p.dk; d += MR) {
      const rows = s.wT + <usize>d * SQUARE_ROW + (c << 5);
      panel(rows, SQUARE_ROW, z, keys + ((<usize>d) << 5), 32, BLOCK_K - ((<i32>c) << 3), 1);
    }
  }
}

/**
 * The queries of one head: carried to the start of the block, q + tril(q w^T) X, and scores within it,
 * q k^T + tril(q w^T) Z.
 */
function carryQueries(p: PathBlocksParams, s: Workspace, rows: i32, carried: usize, local: usize): void {
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const wide = (<usize>roundUpNR(dk)) << 2;
  const strips = roundUpNR(dk) >> 3;
  const tall = <usize>roundUpMR(dk) * 32;
  const panelBytes = rowBytes << 3;
  for (let i = 0; i < rows; i += MR) {
    const q = s.rows + <usize>i * rowBytes;
    const at = <usize>i * SQUARE_ROW;
    const below = min(8, (i + MR + 7) >> 3);
    panels(below, q, rowBytes, s.wPanels, panelBytes, s.square + at, 32, SQUARE_ROW, dk, 0);
    panels(below, q, rowBytes, s.kPanels, tall, s.local + at, 32, SQUARE_ROW, dk, 0);
  }
  keepLower(s.square);
  for (let i: usize = 0; i < <usize>ROWS; ++i) memory.copy(s.qOut + i * wide, s.rows + i * rowBytes, rowBytes);
  for (let i = 0; i < rows; i += MR) {
    const qw = s.square + <usize>i * SQUARE_ROW;
    const below = min(8, (i + MR + 7) >> 3);
    const k = min(BLOCK_K, i + MR);
    panels(below, qw, SQUARE_ROW, s.z, STRIP, s.local + <usize>i * SQUARE_ROW, 32, SQUARE_ROW, k, 1);
    panels(strips, qw, SQUARE_ROW, s.x, STRIP, s.qOut + <usize>i * wide, 32, wide, k, 1);
  }
  memory.copy(local, s.local, <usize>rows * SQUARE_ROW);
  for (let i: usize = 0; i < <usize>rows; ++i) memory.copy(carried + i * rowBytes, s.qOut + i * wide, rowBytes);
}

/** Strips [count][d][8] without the rows that tiles need past d. */
function storeStrips(strips: usize, step: usize, count: i32, d: i32, dst: usize): void {
  const bytes = (<usize>d) << 5;
  for (let c: usize = 0; c < <usize>count; ++c) memory.copy(dst + c * bytes, strips + c * step, bytes);
}

/** Below 2^-80 to zero: many transitions that shrink would leave denormal numbers, which are slow. */
function flushSmall(x: usize, bytes: usize): void {
  const least = v128.load(FOLDED_FLUSH);
  for (const end = x + bytes; x < end; x += 16) v128.store(x, flushedBelow(v128.load(x), least));
}

/** Keys of the block carried on to the end of the span, and the transitions from the block to there. */
function carryOn(p: PathBlocksParams, s: Workspace, last: bool, keys: usize): void {
  const dk = p.dk;
  const strips = roundUpNR(dk) >> 3;
  const wide = (<usize>roundUpNR(dk)) << 2;
  const tall = <usize>roundUpMR(dk) * 32;
  if (last) {
    storeStrips(s.kPanels, tall, 8, dk, keys);
    stripsToRows(s.carry, tall, strips, dk, s.later, wide);
    return;
  }
  for (let d = 0; d < dk; d += MR) {
    const rows = s.later + <usize>d * wide;
    panels(8, rows, wide, s.kPanels, tall, s.kEnd + ((<usize>d) << 5), tall, 32, dk, 0);
    panels(strips, rows, wide, s.carry, tall, s.next + <usize>d * wide, 32, wide, dk, 0);
  }
  flushSmall(s.kEnd, tall << 3);
  flushSmall(s.next, <usize>dk * wide);
  storeStrips(s.kEnd, tall, 8, dk, keys);
  const swap = s.later;
  s.later = s.next;
  s.next = swap;
}

/**
 * What PaTH attention needs of each 64-token block, H_t = I - beta_t w_t^T w_t being a token's transition.
 *
 *   q     [B, T, Hq, dk], k, w [B, T, Hkv, dk]   f32, f16 or bf16; any strides, last axis contiguous
 *   beta  f32 [B, T, Hkv]
 *   qCarried  f32 [Hq, blocks, 64, dk]     q_t H_t ... H_s, s the block's first token; times scale and log2 e
 *   local     f32 [Hq, blocks, 64, 64]     scores q_i H_i ... H_{j+1} k_j, log2 units; tiles on or below the diagonal
 *   kBlock    f32 [Hkv, blocks, 8, dk, 8]  H_e ... H_{j+1} k_j, e the block's last token; packed
 *   kSpan     likewise                     e the last token of the block's span
 *   carryBlock f32 [Hkv, blocks, ceil8(dk) / 8, dk, 8]  H_e ... H_s of the block, packed as a right operand
 *   carrySpan  f32 [Hkv, spans, ceil8(dk) / 8, dk, 8]   of the span; the last span of a sequence has none, nor kSpan
 *
 * Outputs alias nothing. The products of H are UT transforms (Joffrain 2006), I + w^T X; PaTH attention (Yang 2025).
 * Item: one (span, key/value head), from its last block to its first. Scratch: pathBlocksScratchBytes.
 */
export function pathBlocks(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<PathBlocksParams>(params);
  const s = carve(p.dk, scratch);
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const strips = roundUpNR(dk) >> 3;
  const tall = <usize>roundUpMR(dk) * 32;
  const blockBytes = <usize>BLOCK_K * rowBytes;
  const carryBytes = (<usize>(strips * dk)) << 5;
  // what lies past the last row is read as part of a tile, and must not be slow
  memory.fill(s.wT, 0, <usize>roundUpMR(dk) * SQUARE_ROW);
  memory.fill(s.later, 0, (<usize>roundUpMR(dk) * <usize>roundUpNR(dk)) << 3);
  for (let item = begin; item < end; ++item) {
    const index = sequenceOfItem(p.sequences, p.sequenceCount, item);
    const sequence = sequenceAt(p.sequences, index);
    const local = item - sequence.firstItem;
    const span = local / p.kvHeads;
    const h = local - span * p.kvHeads;
    const blocks = (sequence.kLength + BLOCK_K - 1) >> BLOCK_K_SHIFT;
    const firstBlock = span * p.spanBlocks;
    const endBlock = min(blocks, firstBlock + p.spanBlocks);
    const final = endBlock == blocks;
    for (let block = endBlock - 1; block >= firstBlock; --block) {
      const token = sequence.kStart + (block << BLOCK_K_SHIFT);
      const rows = min(BLOCK_K, sequence.kLength - (block << BLOCK_K_SHIFT));
      const at = <usize>(h * p.blocks + sequence.packBlock + block);

      const k =
        p.k + <usize>(sequence.batch * p.kStrideB + token * p.kStrideT + h * p.kStrideH) * elementBytes(p.kType);
      widenBlock(k, p.kType, p.kStrideT, rows, s.rows, dk, 1);
      packBlock(s.rows, dk, s.kPanels, tall);
      const w =
        p.w + <usize>(sequence.batch * p.wStrideB + token * p.wStrideT + h * p.wStrideH) * elementBytes(p.wType);
      widenBlock(w, p.wType, p.wStrideT, rows, s.rows, dk, 1);
      packBlock(s.rows, dk, s.wPanels, rowBytes << 3);
      unpackColumns(s.wPanels, dk, s.wT);
      for (let i = 0; i < rows; ++i) {
        const beta = sequence.batch * p.betaStrideB + (token + i) * p.betaStrideT + h * p.betaStrideH;
        const row = s.rows + <usize>i * rowBytes;
        widenRow(row, 0, row, dk, -load<f32>(p.beta + ((<usize>beta) << 2)));
      }
      solveBlock(p, s);
      for (let g = 0; g < p.group; ++g) {
        const head = h * p.group + g;
        const q =
          p.q + <usize>(sequence.batch * p.qStrideB + token * p.qStrideT + head * p.qStrideH) * elementBytes(p.qType);
        widenBlock(q, p.qType, p.qStrideT, rows, s.rows, dk, p.scale * LOG2E);
        const place = <usize>(head * p.blocks + sequence.packBlock + block);
        carryQueries(p, s, rows, p.qCarried + place * blockBytes, p.local + place * <usize>BLOCK_K * SQUARE_ROW);
      }
      carryKeys(p, s);
      storeStrips(s.kPanels, tall, 8, dk, p.kBlock + at * blockBytes);
      storeStrips(s.carry, tall, strips, dk, p.carryBlock + at * carryBytes);
      if (!final) carryOn(p, s, block == endBlock - 1, p.kSpan + at * blockBytes);
    }
    if (!final) {
      const place = <usize>(h * p.spans + spanIndex(p.spanBlocks, sequence, index) + span);
      rowsToStrips(s.later, (<usize>roundUpNR(dk)) << 2, strips, dk, p.carrySpan + place * carryBytes);
    }
  }
}

/** Place of a sequence's first span among those of all sequences: its blocks begin new spans. */
// @ts-ignore: decorator
@inline
export function spanIndex(spanBlocks: i32, sequence: Sequence, index: i32): i32 {
  return sequence.packBlock / spanBlocks + index;
}
