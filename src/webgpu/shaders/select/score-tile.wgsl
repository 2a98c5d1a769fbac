//! const ROWS
// Products of a tile of rows and 64 columns: 256 threads, of which thread 16 m + n has ROWS rows, 4 or 8, from ROWS m on and the columns n,
// n + 16, n + 32 and n + 48. The shader gives the elements, zeros where there are none, and how many there are of each:
//
//   fn rowElement(row: u32, c: u32) -> f32        row of the tile
//   fn columnElement(column: u32, c: u32) -> f32  column of the tile
//   fn tileDepth() -> u32
//
// Lanes of one row write neighbours, so that rows may begin anywhere.

const TILE_COLUMNS = 64u;
const TILE_ROWS = 16u * ROWS;
const TILE_DEPTH = 16u;
// a row of the tile in vectors: one more than there are, so that threads that differ in the channel meet other banks
const ROW_STRIDE = 33u;

var<workgroup> rowTile: array<vec4f, 528>;
var<workgroup> columnTile: array<vec4f, 256>;

// the products of each row, ROWS of them
var<private> products: array<vec4f, 8>;
// the next part of the tile, on its way
var<private> nextRows: vec4f;
var<private> moreRows: vec4f;
var<private> nextColumns: vec4f;

// First of the thread's rows.
fn tileRow(t: u32) -> u32 { return (t >> 4u) * ROWS; }

fn fourRows(row: u32, c: u32) -> vec4f {
  return vec4f(rowElement(row, c), rowElement(row + 1u, c), rowElement(row + 2u, c), rowElement(row + 3u, c));
}

// Panels of eight columns lie channel by channel: eight threads read one run.
fn columnOf(t: u32) -> u32 { return (t & 7u) + (t >> 7u) * 8u; }

fn fetchTile(t: u32, start: u32) {
  let c = start + (t & 15u);
  let row = (t >> 4u) * 4u;
  nextRows = fourRows(row, c);
  if (ROWS == 8u) { moreRows = fourRows(row + 64u, c); }
  let channel = start + ((t >> 3u) & 15u);
  let j = columnOf(t);
  nextColumns = vec4f(columnElement(j, channel), columnElement(j + 16u, channel), columnElement(j + 32u, channel),
    columnElement(j + 48u, channel));
}

fn tileProduct(t: u32) {
  @unroll for (var r = 0u; r < ROWS; r++) { products[r] = vec4f(); }
  let n = t & 15u;
  let m = (t >> 4u) * (ROWS / 4u);
  let depth = tileDepth();
  fetchTile(t, 0u);
  for (var start = 0u; start < depth; start += TILE_DEPTH) {
    workgroupBarrier();
    rowTile[(t & 15u) * ROW_STRIDE + (t >> 4u)] = nextRows;
    if (ROWS == 8u) { rowTile[(t & 15u) * ROW_STRIDE + (t >> 4u) + 16u] = moreRows; }
    columnTile[((t >> 3u) & 15u) * 16u + columnOf(t)] = nextColumns;
    workgroupBarrier();
    if (start + TILE_DEPTH < depth) { fetchTile(t, start + TILE_DEPTH); }
    for (var c = 0u; c < TILE_DEPTH; c += 1u) {
      let k = columnTile[c * 16u + n];
      let a = rowTile[c * ROW_STRIDE + m];
      @unroll for (var r = 0u; r < 4u; r++) { products[r] = fma(vec4f(a[r]), k, products[r]); }
      if (ROWS == 8u) {
        let b = rowTile[c * ROW_STRIDE + m + 1u];
        @unroll for (var r = 0u; r < 4u; r++) { products[r + 4u] = fma(vec4f(b[r]), k, products[r + 4u]); }
      }
    }
  }
}
