//! use score-tile, packed-columns
// Writes a tile of products from the address of its first one on, rows `stride` elements apart, where there are rows and columns.

fn storeRow(at: u32, n: u32, x: vec4f) {
  if (n < columnsLeft) { storeF(at, x.x); }
  if (n + 16u < columnsLeft) { storeF(at + 64u, x.y); }
  if (n + 32u < columnsLeft) { storeF(at + 128u, x.z); }
  if (n + 48u < columnsLeft) { storeF(at + 192u, x.w); }
}

fn storeProducts(t: u32, first: u32, stride: u32) {
  let n = t & 15u;
  let row = tileRow(t);
  @unroll for (var r = 0u; r < ROWS; r++) {
    if (row + r < rowsLeft) { storeRow(first + ((row + r) * stride + n) * 4u, n, products[r]); }
  }
}
