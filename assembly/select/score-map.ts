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
/** Heads of an indexer whose tiles are summed in one pass, and bytes of a tile. */
const HEADS: i32 = 4;
const HEAD_TILE: usize = <usize>MR * TILE_ROW;

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

/** o = (add: o +) sum over `heads` (1 to HEADS) of weight_h * max(0, tile_h) over n columns. */
function sumHeads(o: usize, tile: usize, n: i32, w: usize, heads: i32, add: bool): void {
  const zero = i32x4.splat(0);
  const w0 = v128.load_splat<f32>(w);
  const w1 = v128.load_splat<f32>(w, 4);
  const w2 = v128.load_splat<f32>(w, 8);
  const w3 = v128.load_splat<f32>(w, 12);
  for (let j = 0; j < n; j += 4) {
    let sum = f32x4.mul(f32x4.pmax(v128.load(tile), zero), w0);
    if (heads > 1) sum = fma(f32x4.pmax(v128.load(tile, HEAD_TILE), zero), w1, sum);
    if (heads > 2) sum = fma(f32x4.pmax(v128.load(tile, 2 * HEAD_TILE), zero), w2, sum);
    if (heads > 3) sum = fma(f32x4.pmax(v128.load(tile, 3 * HEAD_TILE), zero), w3, sum);
    if (j + 4 <= n) {
      v128.store(o, add ? f32x4.add(v128.load(o), sum) : sum);
    } else {
      for (let i: usize = 0; i < <usize>(n - j); ++i) {
        const value = f32x4.extract_lane(sum, 0);
        store<f32>(o + (i << 2), add ? load<f32>(o + (i << 2)) + value : value);
        sum = i32x4.shuffle(sum, sum, 1, 2, 3, 0);
      }
    }
    tile += 16;
    o += 16;
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
  const outStride = (<usize>p.mapStrideR) << 2;
  const w = tile + <usize>HEADS * HEAD_TILE;
  for (let h = 0; h < p.heads; h += HEADS) {
    const heads = min(HEADS, p.heads - h);
    for (let i = 0; i < heads; ++i) {
      const k = p.kPack + <usize>((batch * kvHeads + (h + i) / p.group) * packed + first / NR) * panelBytes;
      const rows = q + <usize>(h + i) * qHeadBytes;
      panels(count, rows, rowBytes, k, panelBytes, tile + <usize>i * HEAD_TILE, NR << 2, TILE_ROW, p.d, 0);
    }
    for (let r = 0; r < live; ++r) {
      const weights = p.weights + ((<usize>(batch * p.weightsStrideB + (row + r) * p.weightsStrideT)) << 2);
      for (let i = 0; i < heads; ++i) {
        const weight = load<f32>(weights + ((<usize>((h + i) * p.weightsStrideH)) << 2));
        store<f32>(w + ((<usize>i) << 2), weight);
      }
      sumHeads(out + <usize>r * outStride, tile + <usize>r * TILE_ROW, columns, w, heads, h > 0);
    }
  }
}

/** Bytes of scratch: the queries of an item, tiles and weights of heads. */
export function scoreMapScratchBytes(params: usize, _scratch: usize): i32 {
  const p = changetype<ScoreMapParams>(params);
  return (p.weights ? p.heads : 1) * wholeGroups(p.blockRows) * p.d * 4 + HEADS * <i32>HEAD_TILE + 32;
}

/**
 * Scores of all rows and columns that see each other; columns that no row of a group of six (four) sees are left as they are.
 *
 *   q        f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
 *   kPack    f32 [B, Hkv, ceil8(M) / 8, d, 8]    as scorePack writes it
 *   weights  f32 [B, N, H]                       any strides; with it the indexer, without it a map for every head
 *   shares   f32 [B, H]                          a head of 0 is left as it is; may be absent
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
    if (p.shares && load<f32>(p.shares + ((<usize>(batch * p.sharesStrideB + head)) << 2)) == 0) continue;
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
