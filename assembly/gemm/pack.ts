import { GemmPackParams } from '../params';
import { elementBytes, F32, widenRow } from '../simd/storage';
import { NR } from './panel';
import { transposePanel } from './transpose';

/**
 * Packs a matrix into the panels that the micro-kernel reads.
 *
 *   b      f32, f16 or bf16 [batch, k, n], or [batch, n, k] if transposed; last axis contiguous
 *   bPack  f32 [batch, ceil8(n) / 8, k, 8]   16-byte aligned, columns past n zero; must not alias b
 *
 * Item: one panel. Scratch: f32 [8, k].
 */
export function gemmPack(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<GemmPackParams>(params);
  const bytes = elementBytes(p.bType);
  const rowBytes = (<usize>p.k) << 2;
  const panels = (p.n + NR - 1) / NR;
  for (let item = begin; item < end; ++item) {
    const product = item / panels;
    const column = (item - product * panels) * NR;
    const columns = min(NR, p.n - column);
    const b = p.b + <usize>(product * p.bStrideB) * bytes;
    let out = p.bPack + <usize>item * rowBytes * 8;
    if (p.transposed) {
      const rows = b + <usize>(column * p.bStride) * bytes;
      if (columns == NR && p.bType == F32) {
        transposePanel(rows, (<usize>p.bStride) << 2, out, p.k);
        continue;
      }
      memory.fill(scratch, 0, rowBytes * 8);
      for (let j = 0; j < columns; ++j) {
        widenRow(rows + <usize>(j * p.bStride) * bytes, p.bType, scratch + <usize>j * rowBytes, p.k, 1);
      }
      transposePanel(scratch, rowBytes, out, p.k);
    } else {
      let row = b + <usize>column * bytes;
      for (let i = 0; i < p.k; ++i) {
        if (columns == NR && p.bType == F32) {
          v128.store(out, v128.load(row));
          v128.store(out, v128.load(row, 16), 16);
        } else {
          memory.fill(out, 0, 32);
          widenRow(row, p.bType, out, columns, 1);
        }
        row += <usize>p.bStride * bytes;
        out += 32;
      }
    }
  }
}
