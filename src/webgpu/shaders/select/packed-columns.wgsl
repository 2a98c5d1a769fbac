// Columns of a tile of products, packed as score-pack writes them.

var<private> panels: u32;
var<private> columnsLeft: u32;

// Tile from column j0 on, of `columns` columns of list `list` at `packs`.
fn beginColumns(packs: u32, list: u32, columns: u32, j0: u32) {
  panels = packs + (list * ((columns + 7u) / 8u) + j0 / 8u) * tileDepth() * 32u;
  columnsLeft = columns - j0;
}

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= tileDepth()) { return 0.0; }
  return loadF(panels + (((column >> 3u) * tileDepth() + c) * 8u + (column & 7u)) * 4u);
}
