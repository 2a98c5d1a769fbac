//! const Q_TYPE
// Rows of a tile of products: scaled queries.

var<private> queries: i32;
var<private> rowsLeft: u32;

// Tile from row r0 on.
fn beginRows(batch: i32, head: i32, r0: u32) {
  queries = batch * p.qStrideB + head * p.qStrideH + i32(r0) * p.qStrideT;
  rowsLeft = u32(p.rows) - r0;
}

fn tileDepth() -> u32 { return u32(p.d); }

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= tileDepth()) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, queries + i32(row) * p.qStrideT + i32(c)) * p.scale;
}
