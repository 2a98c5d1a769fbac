//! params WeightSumsParams
//! use group, storage, map-rows, score-tile
//! const Q_TYPE
//! extra space: u32, firstList: u32, firstRow: u32, rowCount: u32, rowTiles: u32, columnTiles: u32
// Scores of some lists and rows of weight-sums, scaled.
//
//   q      f32, f16, bf16 or i8 [B, T, H, d]         any strides, last axis contiguous
//   kPack  f32 [B, Hkv, ceil8(M) / 8, S d, 8]        as interleaved-pack writes it
//   space  f32 [lists, rowCount, M]
//
//   Row i is of S queries in reversed order, column j of S keys: s_ij = scale sum_r q_{iS+S-1-r} k_{jS+r}.
//
// Workgroup: a tile of rows and 64 columns of one list; tiles that no row sees are left as they are.

var<private> ownQueries: i32;
var<private> rowBegin: i32;
var<private> rowsLeft: u32;
var<private> panels: u32;
var<private> columnsLeft: u32;
var<private> depth: u32;

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= depth) { return 0.0; }
  let r = i32(c) / p.d;
  let token = (rowBegin + i32(row)) * p.interleave + p.interleave - 1 - r;
  if (token >= p.length) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, ownQueries + token * p.qStrideT + i32(c) - r * p.d) * p.scale;
}

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= depth) { return 0.0; }
  return loadF(panels + (((column >> 3u) * depth + c) * 8u + (column & 7u)) * 4u);
}

fn storeScores(at: u32, row: u32, n: u32, s: vec4f) {
  if (row >= rowsLeft) { return; }
  let to = at + row * u32(p.columns) * 4u;
  if (n < columnsLeft) { storeF(to, s.x); }
  if (n + 16u < columnsLeft) { storeF(to + 64u, s.y); }
  if (n + 32u < columnsLeft) { storeF(to + 128u, s.z); }
  if (n + 48u < columnsLeft) { storeF(to + 192u, s.w); }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.columnTiles;
  let j0 = (g - tile * p.columnTiles) * TILE_COLUMNS;
  let part = tile / p.rowTiles;
  let r0 = (tile - part * p.rowTiles) * TILE_ROWS;
  rowBegin = i32(p.firstRow + r0);
  rowsLeft = p.rowCount - r0;
  let last = i32(p.firstRow + min(r0 + TILE_ROWS, p.rowCount)) - 1;
  if (i32(j0) >= max(visibleColumns(i32(p.firstRow + r0)), visibleColumns(last))) { return; }
  let list = i32(p.firstList + part);
  let batch = list / p.lists;
  let head = list - batch * p.lists;
  ownQueries = batch * p.qStrideB + head * p.qStrideH;
  depth = u32(p.d * p.interleave);
  let packed = (p.columns + 7) / 8;
  let first = (batch * (p.lists / p.group) + head / p.group) * packed + i32(j0 / 8u);
  panels = p.kPack + u32(first) * depth * 32u;
  columnsLeft = u32(p.columns) - j0;
  tileProduct(t, u32(p.d * p.interleave));
  let n = t & 15u;
  let row = tileRow(t);
  let at = p.space + ((part * p.rowCount + r0) * u32(p.columns) + j0 + n) * 4u;
  storeScores(at, row, n, s0);
  storeScores(at, row + 1u, n, s1);
  storeScores(at, row + 2u, n, s2);
  storeScores(at, row + 3u, n, s3);
  if (TALL) {
    storeScores(at, row + 4u, n, s4);
    storeScores(at, row + 5u, n, s5);
    storeScores(at, row + 6u, n, s6);
    storeScores(at, row + 7u, n, s7);
  }
}
