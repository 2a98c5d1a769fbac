import { MR, NR, panels } from '../gemm/panel';
import { ScoreMapParams } from '../params';
import { elementBytes } from '../simd/storage';
import { loadRows, wholeGroups } from './rows';
import { mapRow, visibleColumns } from './visible';

/** Columns worked on at a time: their panels stay in the first-level cache while rows pass. */
const SPAN: i32 = 64;
/** Bytes of one row of a tile. */
const TILE_ROW: usize = (<usize>SPAN) << 2;

/** Products of one group of rows with `columns` keys (at most SPAN) into the map. */
function scoreGroup(p: ScoreMapParams, q: usize, k: usize, out: usize, live: i32, columns: i32, tile: usize): void {
  const rowBytes = (<usize>p.d) << 2;
  const panelBytes = rowBytes << 3;
  const outStride = (<usize>p.mapStrideR) << 2;
  const direct = live == MR ? columns / NR : 0;
  panels(direct, q, rowBytes, k, panelBytes, out, NR << 2, outStride, p.d, 0);
  const rest = columns - direct * NR;
  if (rest == 0) return;
  const from = k + <usize>direct * panelBytes;
  panels((rest + NR - 1) / NR, q, rowBytes, from, panelBytes, tile, NR << 2, TILE_ROW, p.d, 0);
  for (let r: usize = 0; r < <usize>live; ++r) {
    const to = out + r * outStride + ((<usize>(direct * NR)) << 2);
    memory.copy(to, tile + r * TILE_ROW, (<usize>rest) << 2);
  }
}

/** Bytes of scratch: the queries of an item and a tile. */
export function scoreMapScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ScoreMapParams>(params);
  return wholeGroups(p.blockRows) * p.d * 4 + MR * <i32>TILE_ROW + 16;
}

/**
 * Scores of all rows and columns that see each other; columns that no row of a group of six (four) sees are left as they are.
 *
 *   q        f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
 *   kPack    f32 [B, Hkv, ceil8(M) / 8, d, 8]    as scorePack writes it
 *   shares   f32 [B, H]                          a head of 0 is left as it is; may be absent
 *   map      f32 [B, H, N, M]                    columns contiguous; must not alias an input
 *
 *   map_hij = scale q_i k_j.
 *
 * Item: one (batch, head, block of rows). Scratch: scoreMapScratchBytes.
 */
export function scoreMap(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ScoreMapParams>(params);
  const blocks = (p.rows + p.blockRows - 1) / p.blockRows;
  const rowBytes = (<usize>p.d) << 2;
  const packed = (p.columns + NR - 1) / NR;
  const tile = (scratch + <usize>wholeGroups(p.blockRows) * rowBytes + 15) & ~15;
  for (let item = begin; item < end; ++item) {
    const list = item / blocks;
    const r0 = (item - list * blocks) * p.blockRows;
    const rows = min(p.blockRows, p.rows - r0);
    const batch = list / p.lists;
    const head = list - batch * p.lists;
    if (p.shares && load<f32>(p.shares + ((<usize>(batch * p.sharesStrideB + head)) << 2)) == 0) continue;
    const k = p.kPack + <usize>((batch * (p.heads / p.group) + head / p.group) * packed) * (rowBytes << 3);
    const queries = <usize>(batch * p.qStrideB + r0 * p.qStrideT + head * p.qStrideH) * elementBytes(p.qType);
    loadRows(p.q + queries, p.qType, p.qStrideT, rows, scratch, p.d, p.scale);
    const most = max(visibleColumns(p, r0), visibleColumns(p, r0 + rows - 1));
    for (let first = 0; first < most; first += SPAN) {
      for (let g = 0; g < rows; g += MR) {
        const live = min(MR, rows - g);
        // what rows see is linear in their number: one of the two ends sees most
        const seen = max(visibleColumns(p, r0 + g), visibleColumns(p, r0 + g + live - 1));
        const columns = min(SPAN, seen - first);
        if (columns <= 0) continue;
        const q = scratch + <usize>g * rowBytes;
        const out = mapRow(p, list, r0 + g) + ((<usize>first) << 2);
        scoreGroup(p, q, k + <usize>(first >> 3) * (rowBytes << 3), out, live, columns, tile);
      }
    }
  }
}
