import { ADD_LAST, MR, NR, OVERWRITE, panelsOfPairs } from '../gemm/panel';
import { ScoreMapParams } from '../params';
import { elementBytes, widenRow } from '../simd/storage';
import { mapRow, visibleColumns } from './visible';

/** Rows of one micro-kernel tile: two heads of each. */
const ROWS: i32 = MR / 2;
/** Columns worked on at a time: their panels stay in the first-level cache while rows pass. */
const SPAN: i32 = 64;
/** Bytes of one row of a tile. */
const TILE_ROW: usize = (<usize>SPAN) << 2;

/** Rows of whole tiles. */
// @ts-ignore: decorator
@inline
function wholeTiles(rows: i32): i32 {
  return ((rows + ROWS - 1) / ROWS) * ROWS;
}

/** Pairs of heads: those of a pair have the same keys. */
// @ts-ignore: decorator
@inline
function pairsOfHeads(p: ScoreMapParams): i32 {
  const group = max(1, p.group);
  return (p.heads / group) * ((group + 1) >> 1);
}

/** Bytes of scratch: queries and weights of an item's pairs of heads, and a tile. */
export function indexMapScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ScoreMapParams>(params);
  const pairs = pairsOfHeads(p);
  return pairs * wholeTiles(p.blockRows) * (p.d + 1) * 8 + ROWS * <i32>TILE_ROW + 16;
}

/**
 * Heads h and, below `end`, h + 1 of the rows from r0 on, times scale, as f32 [whole, 2, d], and their weights as f32 [whole, 2]; zeros
 * where none are.
 */
function loadPair(p: ScoreMapParams, batch: i32, h: i32, end: i32, r0: i32, rows: i32, q: usize, w: usize): void {
  const whole = wholeTiles(rows);
  const rowBytes = (<usize>p.d) << 2;
  for (let r = 0; r < whole; ++r) {
    for (let i = h; i < h + 2; ++i) {
      if (r < rows && i < end) {
        const row = <usize>(batch * p.qStrideB + (r0 + r) * p.qStrideT + i * p.qStrideH) * elementBytes(p.qType);
        widenRow(p.q + row, p.qType, q, p.d, p.scale);
        const weight = batch * p.weightsStrideB + (r0 + r) * p.weightsStrideT + i * p.weightsStrideH;
        store<f32>(w, load<f32>(p.weights + ((<usize>weight) << 2)));
      } else {
        memory.fill(q, 0, rowBytes);
        store<f32>(w, 0);
      }
      q += rowBytes;
      w += 4;
    }
  }
}

/**
 * Scores of a small indexer, for all rows and columns that see each other; columns that no row of a tile sees are left as they are.
 *
 *   q        f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
 *   kPack    f32 [B, Hkv, ceil8(M) / 8, d, 8]    as scorePack writes it
 *   weights  f32 [B, N, H]                       any strides
 *   map      f32 [B, 1, N, M]                    columns contiguous; must not alias an input
 *
 *   map_ij = sum_h w_ih max(0, scale q_hi k_j) (DeepSeek-V3.2's lightning indexer, 2025).
 *
 * Two heads of a row are rows of one tile: products are summed where they come about.
 *
 * Item: one (batch, block of rows). Scratch: indexMapScratchBytes.
 */
export function indexMap(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ScoreMapParams>(params);
  const blocks = (p.rows + p.blockRows - 1) / p.blockRows;
  const rowBytes = (<usize>p.d) << 2;
  const panelBytes = rowBytes << 3;
  const packBytes = <usize>((p.columns + NR - 1) / NR) * panelBytes;
  const kvHeads = p.heads / p.group;
  const groupPairs = (p.group + 1) >> 1;
  const pairs = pairsOfHeads(p);
  const pairRows = wholeTiles(p.blockRows);
  const qBytes = (<usize>pairRows * rowBytes) << 1;
  const wBytes = (<usize>pairRows) << 3;
  const weights = scratch + <usize>pairs * qBytes;
  const tile = (weights + <usize>pairs * wBytes + 15) & ~15;
  const stride = (<usize>p.mapStrideR) << 2;
  for (let item = begin; item < end; ++item) {
    const batch = item / blocks;
    const r0 = (item - batch * blocks) * p.blockRows;
    const rows = min(p.blockRows, p.rows - r0);
    for (let pair = 0; pair < pairs; ++pair) {
      const kv = pair / groupPairs;
      const h = kv * p.group + ((pair - kv * groupPairs) << 1);
      const w = weights + <usize>pair * wBytes;
      loadPair(p, batch, h, (kv + 1) * p.group, r0, rows, scratch + <usize>pair * qBytes, w);
    }
    const most = max(visibleColumns(p, r0), visibleColumns(p, r0 + rows - 1));
    for (let first = 0; first < most; first += SPAN) {
      const span = p.kPack + <usize>(batch * kvHeads) * packBytes + <usize>(first >> 3) * panelBytes;
      for (let g = 0; g < rows; g += ROWS) {
        const live = min(ROWS, rows - g);
        // what rows see is linear in their number: one of the two ends sees most
        const seen = max(visibleColumns(p, r0 + g), visibleColumns(p, r0 + g + live - 1));
        const columns = min(SPAN, seen - first);
        if (columns <= 0) continue;
        const out = mapRow(p, batch, r0 + g) + ((<usize>first) << 2);
        const direct = live == ROWS ? columns / NR : 0;
        const rest = columns - direct * NR;
        for (let pair = 0; pair < pairs; ++pair) {
          const q = scratch + <usize>pair * qBytes + ((<usize>g * rowBytes) << 1);
          const w = weights + <usize>pair * wBytes + ((<usize>g) << 3);
          const k = span + <usize>(pair / groupPairs) * packBytes;
          const how = pair == 0 ? OVERWRITE : ADD_LAST;
          panelsOfPairs(direct, q, w, k, panelBytes, out, NR << 2, stride, p.d, how);
          if (rest == 0) continue;
          const from = k + <usize>direct * panelBytes;
          panelsOfPairs((rest + NR - 1) / NR, q, w, from, panelBytes, tile, NR << 2, TILE_ROW, p.d, how);
        }
        for (let r: usize = 0; r < <usize>live && rest > 0; ++r) {
          memory.copy(out + r * stride + ((<usize>(direct * NR)) << 2), tile + r * TILE_ROW, (<usize>rest) << 2);
        }
      }
    }
  }
}
