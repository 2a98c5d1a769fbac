//! params NearestParams
//! use group, storage, score-tile, best-column
//! const X_TYPE
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

var<private> ownRows: i32;
var<private> rowsLeft: u32;
var<private> panels: u32;
var<private> columnsLeft: u32;

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= u32(p.d)) { return 0.0; }
  return loadAs(i32(X_TYPE), p.x, ownRows + i32(row) * p.xStrideT + i32(c));
}

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= u32(p.d)) { return 0.0; }
  return loadF(panels + (((column >> 3u) * u32(p.d) + c) * 8u + (column & 7u)) * 4u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let list = g / p.rowTiles;
  let r0 = (g - list * p.rowTiles) * TILE_ROWS;
  let batch = i32(list) / p.heads;
  let head = i32(list) - batch * p.heads;
  rowsLeft = u32(p.length) - r0;
  ownRows = batch * p.xStrideB + head * p.xStrideH + i32(r0) * p.xStrideT;
  let packed = u32(p.count + 7) / 8u;
  clearBest();
  for (var j0 = 0u; j0 < u32(p.count); j0 += TILE_COLUMNS) {
    panels = p.cPack + (list * packed + j0 / 8u) * u32(p.d) * 32u;
    columnsLeft = u32(p.count) - j0;
    tileProduct(t, u32(p.d));
    for (var e = 0u; e < 4u; e += 1u) {
      let n = (t & 15u) + e * 16u;
      if (n >= columnsLeft) { continue; }
      var less = 0.0;
      if (p.dot == 0) { less = loadF(p.space + (list * packed * 8u + j0 + n) * 4u); }
      offerColumn(e, j0 + n, 1.0, less);
    }
  }
  for (var r = 0u; r < 4u + 4u * u32(TALL); r += 1u) {
    let label = bestOf(t, r);
    let row = tileRow(t) + r;
    if ((t & 15u) == 0u && row < rowsLeft) { storeU(p.labels + (list * u32(p.length) + r0 + row) * 4u, label); }
  }
}
