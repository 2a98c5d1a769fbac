//! params ScoreMapParams
//! use group, storage, map-rows, query-rows, store-products
//! extra rowTiles: u32, columnTiles: u32
// Scores of all rows and columns that see each other; tiles that no row sees are left as they are.
//
//   q       f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
//   kPack   f32 [B, Hkv, ceil8(M) / 8, d, 8]    as score-pack writes it
//   shares  f32 [B, H]                          a head of 0 is left as it is; may be absent
//   map     f32 [B, H, N, M]                    columns contiguous; must not alias an input
//
//   map_hij = scale q_i k_j.
//
// Workgroup: a tile of rows and 64 columns of one (batch, head).

var<workgroup> share: f32;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.columnTiles;
  let j0 = (g - tile * p.columnTiles) * TILE_COLUMNS;
  let list = tile / p.rowTiles;
  let r0 = (tile - list * p.rowTiles) * TILE_ROWS;
  if (i32(j0) >= visibleToAny(r0, min(r0 + TILE_ROWS, u32(p.rows)))) { return; }
  let batch = i32(list) / p.lists;
  let head = i32(list) - batch * p.lists;
  if (p.shares != 0u) {
    if (t == 0u) { share = loadF(p.shares + u32(batch * p.sharesStrideB + head) * 4u); }
    if (workgroupUniformLoad(&share) == 0.0) { return; }
  }
  beginRows(batch, head, r0);
  beginColumns(p.kPack, u32(batch * (p.heads / p.group) + head / p.group), u32(p.columns), j0);
  tileProduct(t);
  storeProducts(t, mapRow(i32(list), i32(r0)) + j0 * 4u, u32(p.mapStrideR));
}
