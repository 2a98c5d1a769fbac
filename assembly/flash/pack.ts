import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { FlashPackParams, Sequence } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { largestNorm } from './bound';
import { gatherScales, keyOffset } from './cache';
import { sequenceAt, sequenceOfBlock } from './sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR } from './tile';

/** Columns [8c, 8c + 8) of a row into row j of each value panel; columns past dv are zero. */
// @ts-ignore: decorator
@inline
export function scatterValueRow(row: usize, panels: usize, j: i32, dv: i32): void {
  let out = panels + <usize>j * 32;
  let c = 0;
  for (; c + NR <= dv; c += NR) {
    v128.store(out, v128.load(row + ((<usize>c) << 2)));
    v128.store(out, v128.load(row + ((<usize>c) << 2), 16), 16);
    out += <usize>BLOCK_K * 32;
  }
  if (c < dv) {
    memory.fill(out, 0, 32);
    memory.copy(out, row + ((<usize>c) << 2), (<usize>(dv - c)) << 2);
  }
}

/** Keys of one block into panels, and the largest of their norms. */
function packKeys(p: FlashPackParams, s: Sequence, h: i32, first: i32, rows: i32, at: i32, scratch: usize): void {
  const dk = p.dk;
  const rowBytes = (<usize>dk) << 2;
  const tile = scratch + ((<usize>BLOCK_K) << 2);
  const out = p.kPack + <usize>at * <usize>BLOCK_K * rowBytes;
  const bytes = elementBytes(p.kType);
  let source = p.k + keyOffset(p, s, first, h, p.kStrideB, p.kStrideT, p.kStrideH) * bytes;
  let stride = <usize>p.kStrideT * bytes;
  if (p.kType != F32 || (rows & 7) != 0 || p.pageTable) {
    if (p.kScale) gatherScales(p, s, p.kScale, first, rows, h, scratch);
    for (let j = 0; j < rows; ++j) {
      const row = p.k + keyOffset(p, s, first + j, h, p.kStrideB, p.kStrideT, p.kStrideH) * bytes;
      const scale: f32 = p.kScale ? load<f32>(scratch + ((<usize>j) << 2)) : 1;
      widenRow(row, p.kType, tile + <usize>j * rowBytes, dk, scale);
    }
    memory.fill(tile + <usize>rows * rowBytes, 0, <usize>(BLOCK_K - rows) * rowBytes);
    source = tile;
    stride = rowBytes;
  }
  for (let j = 0; j < roundUpNR(rows); j += NR) {
    transposePanel(source + <usize>j * stride, stride, out + <usize>j * rowBytes, dk);
  }
  if (p.kNorms) store<f32>(p.kNorms + ((<usize>at) << 2), largestNorm(source, stride, rows, dk));
}

/** Values of one block into panels. */
function packValues(p: FlashPackParams, s: Sequence, h: i32, first: i32, rows: i32, at: i32, scratch: usize): void {
  const panels = roundUpNR(p.dv) >> 3;
  const tile = scratch + ((<usize>BLOCK_K) << 2);
  const out = p.vPack + <usize>at * <usize>panels * <usize>(BLOCK_K * 32);
  const bytes = elementBytes(p.vType);
  if (p.vScale) gatherScales(p, s, p.vScale, first, rows, h, scratch);
  for (let j = 0; j < rows; ++j) {
    let row = p.v + keyOffset(p, s, first + j, h, p.vStrideB, p.vStrideT, p.vStrideH) * bytes;
    if (p.vType != F32) {
      widenRow(row, p.vType, tile, p.dv, p.vScale ? load<f32>(scratch + ((<usize>j) << 2)) : 1);
      row = tile;
    }
    scatterValueRow(row, out, j, p.dv);
  }
  for (let j = rows; j < roundUpNR(rows); ++j) {
    for (let c = 0; c < panels; ++c) memory.fill(out + <usize>(c * BLOCK_K + j) * 32, 0, 32);
  }
}

/**
 * Packs keys and values into the panels that the micro-kernel reads, zero where a block passes the end.
 *
 *   k      [B, Tk, Hkv, dk]              f32, f16, bf16 or i8; any strides, last axis contiguous; with pageTable
 *                                        [pages, pageSize, Hkv, dk]
 *   v      [B, Tk, Hkv, dv]              likewise; may alias k
 *   kScale, vScale  f32 [B, Tk, Hkv]     i8 only: value = code * scale; by pages likewise
 *   kPack  f32 [Hkv, blocks, 8, dk, 8]   16-byte aligned; must not alias k or v
 *   vPack  f32 [Hkv, blocks, ceil8(dv) / 8, 64, 8]
 *   kNorms f32 [Hkv, blocks]
 *
 * Without kPack only values are packed, without vPack only keys.
 * Item: one (64-key block, key/value head). Scratch: f32 [64, 1 + max(dk, dv)].
 */
export function flashPack(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashPackParams>(params);
  for (let item = begin; item < end; ++item) {
    const block = item / p.kvHeads;
    const h = item - block * p.kvHeads;
    const s = sequenceAt(p.sequences, sequenceOfBlock(p.sequences, p.sequenceCount, block));
    const first = (block - s.packBlock) << BLOCK_K_SHIFT;
    const rows = min(BLOCK_K, s.kLength - first);
    const at = h * p.blocks + block;
    if (p.kPack) packKeys(p, s, h, first, rows, at, scratch);
    if (p.vPack) packValues(p, s, h, first, rows, at, scratch);
  }
}
