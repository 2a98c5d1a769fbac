import { MR, NR, panels } from '../gemm/panel';
import { NearestParams } from '../params';
import { elementBytes } from '../simd/storage';
import { Largest, largest } from './largest';
import { loadRows, wholeGroups } from './rows';

/** Centroids worked on at a time. */
const SPAN: i32 = 64;
const TILE_ROW: usize = (<usize>SPAN) << 2;

/** Bytes of scratch: rows, what each centroid's score is less by, a tile, and the best so far. */
export function nearestScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<NearestParams>(params);
  const rows = wholeGroups(p.blockRows);
  return rows * p.d * 4 + (p.count + NR) * 4 + MR * <i32>TILE_ROW + rows * 4 + 48;
}

/** half[count] = |c|^2 / 2 of packed centroids, or zeros. */
function halfSquares(p: NearestParams, packed: usize, half: usize): void {
  for (let c = 0; c < p.count; c += NR) {
    let low = i32x4.splat(0);
    let high = low;
    for (let left = p.dot ? 0 : p.d; left > 0; --left) {
      const a = v128.load(packed);
      const b = v128.load(packed, 16);
      low = f32x4.add(low, f32x4.mul(a, a));
      high = f32x4.add(high, f32x4.mul(b, b));
      packed += 32;
    }
    const factor = f32x4.splat(0.5);
    v128.store(half, f32x4.mul(low, factor));
    v128.store(half, f32x4.mul(high, factor), 16);
    half += 32;
  }
}

/**
 * The centroid that each row is nearest to, the first of equals.
 *
 *   x       f32, f16, bf16 or i8 [B, T, H, d]         any strides, last axis contiguous
 *   cPack   f32 [B, H, ceil8(count) / 8, d, 8]        centroids, as scorePack writes them
 *   labels  i32 [B, H, T]                             contiguous
 *
 *   label = argmax_c x c - |c|^2 / 2, which is argmin |x - c|, or with dot argmax x c. NaN is passed over.
 *
 * Item: one (batch, head, block of rows). Scratch: nearestScratchBytes.
 */
export function nearest(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<NearestParams>(params);
  const blocks = (p.length + p.blockRows - 1) / p.blockRows;
  const rowBytes = (<usize>p.d) << 2;
  const panelBytes = rowBytes << 3;
  const packedPanels = (p.count + NR - 1) / NR;
  const half = (scratch + <usize>wholeGroups(p.blockRows) * rowBytes + 15) & ~15;
  const tile = half + <usize>packedPanels * 32;
  const best = tile + <usize>MR * TILE_ROW;
  const found = changetype<Largest>(best + ((<usize>wholeGroups(p.blockRows)) << 2));
  for (let item = begin; item < end; ++item) {
    const list = item / blocks;
    const r0 = (item - list * blocks) * p.blockRows;
    const rows = min(p.blockRows, p.length - r0);
    const batch = list / p.heads;
    const head = list - batch * p.heads;
    const x = p.x + <usize>(batch * p.xStrideB + r0 * p.xStrideT + head * p.xStrideH) * elementBytes(p.xType);
    const centroids = p.cPack + <usize>(list * packedPanels) * panelBytes;
    const labels = p.labels + ((<usize>(list * p.length + r0)) << 2);
    loadRows(x, p.xType, p.xStrideT, rows, scratch, p.d, 1);
    halfSquares(p, centroids, half);
    for (let first = 0; first < p.count; first += SPAN) {
      const n = min(SPAN, p.count - first);
      const k = centroids + <usize>(first >> 3) * panelBytes;
      for (let g = 0; g < rows; g += MR) {
        const q = scratch + <usize>g * rowBytes;
        panels((n + NR - 1) / NR, q, rowBytes, k, panelBytes, tile, NR << 2, TILE_ROW, p.d, 0);
        for (let r = g; r < min(g + MR, rows); ++r) {
          const scores = tile + <usize>(r - g) * TILE_ROW;
          largest(scores, half + ((<usize>first) << 2), n, 1, found);
          const at = (<usize>r) << 2;
          if (first != 0 && !(found.value > load<f32>(best + at))) continue;
          store<f32>(best + at, found.value);
          store<i32>(labels + at, first + found.place);
        }
      }
    }
  }
}
