import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { FlashPackParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { largestNorm } from './bound';
import { gatherScales, keyOffset } from './cache';
import { sequenceAt, sequenceOfBlock } from './sequence';
import { BLOCK_K, BLOCK_K_SHIFT, roundUpNR } from './tile';

/** Columns [8c, 8c + 8) of a row into row j of each value panel; columns past dv are zero. */
// @ts-ignore: decorator
@inline
function scatterValueRow(row: usize, panels: usize, j: i32, dv: i32): void {
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
 * Item: one (64-key block, key/value head). Scratch: f32 [64, 1 + max(dk, dv)].
 */
export function flashPack(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<FlashPackParams>(params);
  const dk = p.dk;
  const dv = p.dv;
  const kRowBytes = (<usize>dk) << 2;
  const vPanels = roundUpNR(dv) >> 3;
  const scales = scratch;
  const tile = scratch + ((<usize>BLOCK_K) << 2);
  for (let item = begin; item < end; ++item) {
    const block = item / p.kvHeads;
    const h = item - block * p.kvHeads;
    const s = sequenceAt(p.sequences, sequenceOfBlock(p.sequences, p.sequenceCount, block));
    const first = (block - s.packBlock) << BLOCK_K_SHIFT;
    const rows = min(BLOCK_K, s.kLength - first);
    const kOut = p.kPack + <usize>(h * p.blocks + block) * <usize>BLOCK_K * kRowBytes;
    const vOut = p.vPack + <usize>(h * p.blocks + block) * <usize>vPanels * <usize>(BLOCK_K * 32);

    const kBytes = elementBytes(p.kType);
    let kRows = p.k + keyOffset(p, s, first, h, p.kStrideB, p.kStrideT, p.kStrideH) * kBytes;
    let kStride = <usize>p.kStrideT * kBytes;
    if (p.kType != F32 || (rows & 7) != 0 || p.pageTable) {
      if (p.kScale) gatherScales(p, s, p.kScale, first, rows, h, scales);
      for (let j = 0; j < rows; ++j) {
        const row = p.k + keyOffset(p, s, first + j, h, p.kStrideB, p.kStrideT, p.kStrideH) * kBytes;
        const scale: f32 = p.kScale ? load<f32>(scales + ((<usize>j) << 2)) : 1;
        widenRow(row, p.kType, tile + <usize>j * kRowBytes, dk, scale);
      }
      memory.fill(tile + <usize>rows * kRowBytes, 0, <usize>(BLOCK_K - rows) * kRowBytes);
      kRows = tile;
      kStride = kRowBytes;
    }
    for (let j = 0; j < roundUpNR(rows); j += NR) {
      transposePanel(kRows + <usize>j * kStride, kStride, kOut + <usize>j * kRowBytes, dk);
    }

    store<f32>(p.kNorms + ((<usize>(h * p.blocks + block)) << 2), largestNorm(kRows, kStride, rows, dk));

    const vBytes = elementBytes(p.vType);
    if (p.vScale) gatherScales(p, s, p.vScale, first, rows, h, scales);
    for (let j = 0; j < rows; ++j) {
      let row = p.v + keyOffset(p, s, first + j, h, p.vStrideB, p.vStrideT, p.vStrideH) * vBytes;
      if (p.vType != F32) {
        widenRow(row, p.vType, tile, dv, p.vScale ? load<f32>(scales + ((<usize>j) << 2)) : 1);
        row = tile;
      }
      scatterValueRow(row, vOut, j, dv);
    }
    for (let j = rows; j < roundUpNR(rows); ++j) {
      for (let c = 0; c < vPanels; ++c) memory.fill(vOut + <usize>(c * BLOCK_K + j) * 32, 0, 32);
    }
  }
}
