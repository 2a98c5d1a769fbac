//! params WeightSumsParams
//! use group, storage, map-rows, store-products
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

fn tileDepth() -> u32 { return u32(p.d * p.interleave); }

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= tileDepth()) { return 0.0; }
  let r = i32(c) / p.d;
  let token = (rowBegin + i32(row)) * p.interleave + p.interleave - 1 - r;
  if (token >= p.length) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, ownQueries + token * p.qStrideT + i32(c) - r * p.d) * p.scale;
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
  if (i32(j0) >= visibleToAny(p.firstRow + r0, p.firstRow + min(r0 + TILE_ROWS, p.rowCount))) { return; }
  let list = i32(p.firstList + part);
  let batch = list / p.lists;
  let head = list - batch * p.lists;
  ownQueries = batch * p.qStrideB + head * p.qStrideH;
  beginColumns(p.kPack, u32(batch * (p.lists / p.group) + head / p.group), u32(p.columns), j0);
  tileProduct(t);
  storeProducts(t, p.space + ((part * p.rowCount + r0) * u32(p.columns) + j0) * 4u, u32(p.columns));
}
