import { NR } from '../gemm/panel';
import { transposePanel } from '../gemm/transpose';
import { ScorePackParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';

/**
 * Packs rows into the panels that the micro-kernel reads.
 *
 *   k      f32, f16, bf16 or i8 [B, M, Hkv, d]   any strides, last axis contiguous
 *   kPack  f32 [B, Hkv, ceil8(M) / 8, d, 8]      16-byte aligned, zeros past M; must not alias k
 *
 * Item: one panel. Scratch: f32 [8, d].
 */
export function scorePack(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ScorePackParams>(params);
  const bytes = elementBytes(p.kType);
  const rowBytes = (<usize>p.d) << 2;
  const panels = (p.columns + NR - 1) / NR;
  const stride = <usize>p.kStrideT * bytes;
  for (let item = begin; item < end; ++item) {
    const head = item / panels;
    const first = (item - head * panels) * NR;
    const batch = head / p.kvHeads;
    const h = head - batch * p.kvHeads;
    const rows = min(NR, p.columns - first);
    const k = p.k + <usize>(batch * p.kStrideB + first * p.kStrideT + h * p.kStrideH) * bytes;
    const out = p.kPack + <usize>item * rowBytes * 8;
    if (rows == NR && p.kType == F32) {
      transposePanel(k, stride, out, p.d);
      continue;
    }
    memory.fill(scratch + <usize>rows * rowBytes, 0, <usize>(NR - rows) * rowBytes);
    for (let j: usize = 0; j < <usize>rows; ++j) widenRow(k + j * stride, p.kType, scratch + j * rowBytes, p.d, 1);
    transposePanel(scratch, rowBytes, out, p.d);
  }
}
