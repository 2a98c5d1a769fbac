import { MR, NR, panels } from '../gemm/panel';
import { ScoreMapParams } from '../params';
import { fma } from '../simd/fma';
import { elementBytes } from '../simd/storage';
import { loadRows, wholeGroups } from './rows';
import { mapRow, visibleColumns } from './visible';

/** Columns worked on at a time: their panels stay in the first-level cache while rows pass. */
const SPAN: i32 = 64;
/** Bytes of one row of a tile. */
const TILE_ROW: usize = (<usize>SPAN) << 2;

/** Queries of one head, times scale, to `dst`. */
function loadQueries(p: ScoreMapParams, batch: i32, h: i32, r0: i32, rows: i32, dst: usize): void {
  const first = <usize>(batch * p.qStrideB + r0 * p.qStrideT + h * p.qStrideH) * elementBytes(p.qType);
  loadRows(p.q + first, p.qType, p.qStrideT, rows, dst, p.d, p.scale);
}

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

/** sum (+)= weight * max(0, tile) over n (a multiple of 4) columns. */
// @ts-ignore: decorator
@inline
function addWeighted(sum: usize, tile: usize, n: i32, weight: f32, add: i32): void {
  const w = f32x4.splat(weight);
  const zero = i32x4.splat(0);
  for (let j: usize = 0, end = (<usize>n) << 2; j < end; j += 16) {
    const x = f32x4.pmax(v128.load(tile + j), zero);
    v128.store(sum + j, add ? fma(x, w, v128.load(sum + j)) : f32x4.mul(x, w));
  }
}

/** The indexer's sums over heads of one group of rows and `columns` keys (at most SPAN) from `first`. */
function indexGroup(
  p: ScoreMapParams,
  batch: i32,
  row: i32,
  q: usize,
  qHeadBytes: usize,
  first: i32,
  out: usize,
  live: i32,
  columns: i32,
  tile: usize,
): void {
  const rowBytes = (<usize>p.d) << 2;
  const panelBytes = rowBytes << 3;
  const count = (columns + NR - 1) / NR;
  const packed = (p.columns + NR - 1) / NR;
  const kvHeads = p.heads / p.group;
  const sums = tile + <usize>MR * TILE_ROW;
  for (let h = 0; h < p.heads; ++h) {
    const k = p.kPack + <usize>((batch * kvHeads + h / p.group) * packed + first / NR) * panelBytes;
    panels(count, q + <usize>h * qHeadBytes, rowBytes, k, panelBytes, tile, NR << 2, TILE_ROW, p.d, 0);
    const weights = p.weights + ((<usize>(batch * p.weightsStrideB + h * p.weightsStrideH)) << 2);
    for (let r = 0; r < live; ++r) {
      const weight = load<f32>(weights + ((<usize>((row + r) * p.weightsStrideT)) << 2));
      const at = <usize>r * TILE_ROW;
      addWeighted(sums + at, tile + at, count * NR, weight, h);
    }
  }
  const outStride = (<usize>p.mapStrideR) << 2;
  for (let r: usize = 0; r < <usize>live; ++r) {
    memory.copy(out + r * outStride, sums + r * TILE_ROW, (<usize>columns) << 2);
  }
}

/** Bytes of scratch: the queries of an item and two tiles. */
export function scoreMapScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ScoreMapParams>(params);
  return (p.weights ? p.heads : 1) * wholeGroups(p.blockRows) * p.d * 4 + 2 * MR * <i32>TILE_ROW + 16;
}

/**
 * Scores of all rows and columns that see each other; columns that no row of a group of six (four) sees are left as they are.
 *
 *   q        f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
 *   kPack    f32 [B, Hkv, ceil8(M) / 8, d, 8]    as scorePack writes it
 *   weights  f32 [B, N, H]                       any strides; with it the indexer, without it a map for every head
 *   map      f32 [B, H, N, M], or [B, 1, N, M]   columns contiguous; must not alias an input
 *
 *   map_hij = scale q_i k_j, or sum_h w_ih max(0, scale q_hi k_j) (DeepSeek-V3.2's lightning indexer).
 *
 * Item: one (batch, head, block of rows); of the indexer one (batch, block of rows). Scratch: scoreMapScratchBytes.
 */
export function scoreMap(params: usize, begin: i32, end: i32, scratch: usize): void {
  const p = changetype<ScoreMapParams>(params);
  const blocks = (p.rows + p.blockRows - 1) / p.blockRows;
  const rowBytes = (<usize>p.d) << 2;
  const packed = (p.columns + NR - 1) / NR;
  const qHeadBytes = <usize>wholeGroups(p.blockRows) * rowBytes;
  const loaded = p.weights ? p.heads : 1;
  const tile = (scratch + <usize>loaded * qHeadBytes + 15) & ~15;
  for (let item = begin; item < end; ++item) {
    const list = item / blocks;
    const r0 = (item - list * blocks) * p.blockRows;
    const rows = min(p.blockRows, p.rows - r0);
    const batch = list / p.lists;
    const head = list - batch * p.lists;
    const k = p.kPack + <usize>((batch * (p.heads / p.group) + head / p.group) * packed) * (rowBytes << 3);
    if (p.weights) {
      for (let h = 0; h < p.heads; ++h) loadQueries(p, batch, h, r0, rows, scratch + <usize>h * qHeadBytes);
    } else {
      loadQueries(p, batch, head, r0, rows, scratch);
    }
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
        if (p.weights) {
          indexGroup(p, batch, r0 + g, q, qHeadBytes, first, out, live, columns, tile);
        } else {
          scoreGroup(p, q, k + <usize>(first >> 3) * (rowBytes << 3), out, live, columns, tile);
        }
      }
    }
  }
}
