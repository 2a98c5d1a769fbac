import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { InterleavedPackParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';

/**
 * Packs keys of which every `interleave` in a row are one column: k'_j = [k_jS, k_jS+1, ..., k_jS+S-1], zeros where the keys have ended.
 *
 *   k      f32, f16, bf16 or i8 [B, T, Hkv, d]          any strides, last axis contiguous
 *   kPack  f32 [B, Hkv, ceil8(ceil(T / S)) / 8, S d, 8]   16-byte aligned; must not alias k
 *
 * Item: one panel of eight columns. Scratch: f32 [8, d].
 */
export function interleavedPack(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<InterleavedPackParams>(params);
  const bytes = elementBytes(p.kType);
  const rowBytes = (<usize>p.d) << 2;
  const columns = (p.length + p.interleave - 1) / p.interleave;
  const panels = (columns + NR - 1) / NR;
  const stride = <usize>(p.kStrideT * p.interleave) * bytes;
  for (let item = begin; item < end; ++item) {
    const head = item / panels;
    const first = (item - head * panels) * NR * p.interleave;
    const batch = head / p.kvHeads;
    const at = batch * p.kStrideB + (head - batch * p.kvHeads) * p.kStrideH;
    let out = p.kPack + <usize>item * <usize>p.interleave * (rowBytes << 3);
    for (let r = 0; r < p.interleave; ++r) {
      const k = p.k + <usize>(at + (first + r) * p.kStrideT) * bytes;
      if (p.kType == F32 && first + r + (NR - 1) * p.interleave < p.length) {
        transposePanel(k, stride, out, p.d);
      } else {
        for (let j = 0; j < NR; ++j) {
          const row = scratch + <usize>j * rowBytes;
          if (first + r + j * p.interleave < p.length) widenRow(k + <usize>j * stride, p.kType, row, p.d, 1);
          else memory.fill(row, 0, rowBytes);
        }
        transposePanel(scratch, rowBytes, out, p.d);
      }
      out += rowBytes << 3;
    }
  }
}
