//! params NearestParams
//! use group, storage, token-rows, packed-columns, best-column
//! extra rowTiles: u32, space: u32
// The centroid that each row is nearest to, the first of equals.
//
//   x       f32, f16, bf16 or i8 [B, T, H, d]         any strides, last axis contiguous
//   cPack   f32 [B, H, ceil8(count) / 8, d, 8]        centroids, as score-pack writes them
//   space   f32 [B, H, ceil8(count)]                  half of their squares
//   labels  i32 [B, H, T]                             contiguous
//
//   label = argmax_c x c - |c|^2 / 2, which is argmin |x - c|, or with dot argmax x c. NaN is passed over.
//
// Workgroup: a tile of rows of one (batch, head).

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let list = g / p.rowTiles;
  let r0 = (g - list * p.rowTiles) * TILE_ROWS;
  beginRows(i32(list), r0);
  let packed = u32(p.count + 7) / 8u;
  clearBest();
  for (var j0 = 0u; j0 < u32(p.count); j0 += TILE_COLUMNS) {
    beginColumns(p.cPack, list, u32(p.count), j0);
    tileProduct(t);
    @unroll for (var e = 0u; e < 4u; e++) {
      let n = (t & 15u) + e * 16u;
      if (n < columnsLeft) {
        var less = 0.0;
        if (p.dot == 0) { less = loadF(p.space + (list * packed * 8u + j0 + n) * 4u); }
        offerColumn(e, j0 + n, 1.0, less);
      }
    }
  }
  storeBest(t, p.labels + (list * u32(p.length) + r0) * 4u);
}
