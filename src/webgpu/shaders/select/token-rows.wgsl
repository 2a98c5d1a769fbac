//! const X_TYPE
// Rows of a tile of products: those of x.

var<private> ownRows: i32;
var<private> rowsLeft: u32;

// Tile from row r0 on of list `list`, batch * heads + head.
fn beginRows(list: i32, r0: u32) {
  let batch = list / p.heads;
  let head = list - batch * p.heads;
  ownRows = batch * p.xStrideB + head * p.xStrideH + i32(r0) * p.xStrideT;
  rowsLeft = u32(p.length) - r0;
}

fn tileDepth() -> u32 { return u32(p.d); }

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= tileDepth()) { return 0.0; }
  return loadAs(i32(X_TYPE), p.x, ownRows + i32(row) * p.xStrideT + i32(c));
}
