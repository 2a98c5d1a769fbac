//! params ScoreMapParams
//! use group, storage, map-rows, query-rows, store-products
//! extra rowTiles: u32, columnTiles: u32
// Scores of a small indexer, for all rows and columns that see each other; tiles that no row sees are left as they are.
//
//   q        f32, f16, bf16 or i8 [B, N, H, d]   any strides, last axis contiguous
//   kPack    f32 [B, Hkv, ceil8(M) / 8, d, 8]    as score-pack writes it
//   weights  f32 [B, N, H]                       any strides
//   map      f32 [B, 1, N, M]                    columns contiguous; must not alias an input
//
//   map_ij = sum_h w_ih max(0, scale q_hi k_j) (DeepSeek-V3.2's lightning indexer, 2025).
//
// Workgroup: a tile of rows and 64 columns, head after head.

var<private> weightsAt: u32;

fn weightOf(row: u32) -> f32 {
  if (row >= rowsLeft) { return 0.0; }
  return loadF(weightsAt + row * u32(p.weightsStrideT) * 4u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.columnTiles;
  let j0 = (g - tile * p.columnTiles) * TILE_COLUMNS;
  let batch = i32(tile / p.rowTiles);
  let r0 = (tile % p.rowTiles) * TILE_ROWS;
  if (i32(j0) >= visibleToAny(r0, min(r0 + TILE_ROWS, u32(p.rows)))) { return; }
  let row = tileRow(t);
  var sums: array<vec4f, ROWS>;
  for (var head = 0; head < p.heads; head += 1) {
    beginRows(batch, head, r0);
    beginColumns(p.kPack, u32(batch * (p.heads / p.group) + head / p.group), u32(p.columns), j0);
    weightsAt = p.weights + (u32(batch * p.weightsStrideB + head * p.weightsStrideH) + r0 * u32(p.weightsStrideT)) * 4u;
    tileProduct(t);
    @unroll for (var r = 0u; r < ROWS; r++) { sums[r] = fma(vec4f(weightOf(row + r)), max(products[r], vec4f()), sums[r]); }
  }
  @unroll for (var r = 0u; r < ROWS; r++) { products[r] = sums[r]; }
  storeProducts(t, mapRow(batch, i32(r0)) + j0 * 4u, u32(p.mapStrideR));
}
