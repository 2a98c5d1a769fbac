//! const TALL
// Products of a tile of rows and 64 columns: 256 threads, of which thread 16 m + n has 8 rows from 8 m on (4 from 4 m on without TALL)
// and the columns n, n + 16, n + 32 and n + 48. The shader gives the elements, zeros where there are none:
//
//   fn rowElement(row: u32, c: u32) -> f32        row of the tile
//   fn columnElement(column: u32, c: u32) -> f32  column of the tile
//
// Rows of products go to s0 to s7. Lanes of one row write neighbours, so that rows may begin anywhere.

const TILE_COLUMNS = 64u;
const TILE_ROWS = 64u + 64u * u32(TALL);
const TILE_DEPTH = 16u;
// a row of the tile in vectors: one more than there are, so that threads that differ in the channel meet other banks
const ROW_STRIDE = 33u;

var<workgroup> rowTile: array<vec4f, 528>;
var<workgroup> columnTile: array<vec4f, 256>;

var<private> s0: vec4f;
var<private> s1: vec4f;
var<private> s2: vec4f;
var<private> s3: vec4f;
var<private> s4: vec4f;
var<private> s5: vec4f;
var<private> s6: vec4f;
var<private> s7: vec4f;
// the next part of the tile, on its way
var<private> nextRows: vec4f;
var<private> moreRows: vec4f;
var<private> nextColumns: vec4f;

// First of the thread's rows, and how many they are.
fn tileRow(t: u32) -> u32 { return (t >> 4u) * (4u + 4u * u32(TALL)); }

fn fourRows(row: u32, c: u32) -> vec4f {
  return vec4f(rowElement(row, c), rowElement(row + 1u, c), rowElement(row + 2u, c), rowElement(row + 3u, c));
}

// Panels of eight columns lie channel by channel: eight threads read one run.
fn columnOf(t: u32) -> u32 { return (t & 7u) + (t >> 7u) * 8u; }

fn fetchTile(t: u32, start: u32) {
  let c = start + (t & 15u);
  let row = (t >> 4u) * 4u;
  nextRows = fourRows(row, c);
  if (TALL) { moreRows = fourRows(row + 64u, c); }
  let channel = start + ((t >> 3u) & 15u);
  let j = columnOf(t);
  nextColumns = vec4f(columnElement(j, channel), columnElement(j + 16u, channel), columnElement(j + 32u, channel),
    columnElement(j + 48u, channel));
}

fn tileProduct(t: u32, depth: u32) {
  s0 = vec4f(); s1 = vec4f(); s2 = vec4f(); s3 = vec4f(); s4 = vec4f(); s5 = vec4f(); s6 = vec4f(); s7 = vec4f();
  let n = t & 15u;
  let m = (t >> 4u) * (1u + u32(TALL));
  fetchTile(t, 0u);
  for (var start = 0u; start < depth; start += TILE_DEPTH) {
    workgroupBarrier();
    rowTile[(t & 15u) * ROW_STRIDE + (t >> 4u)] = nextRows;
    if (TALL) { rowTile[(t & 15u) * ROW_STRIDE + (t >> 4u) + 16u] = moreRows; }
    columnTile[((t >> 3u) & 15u) * 16u + columnOf(t)] = nextColumns;
    workgroupBarrier();
    if (start + TILE_DEPTH < depth) { fetchTile(t, start + TILE_DEPTH); }
    for (var c = 0u; c < TILE_DEPTH; c += 1u) {
      let k = columnTile[c * 16u + n];
      let a = rowTile[c * ROW_STRIDE + m];
      s0 = fma(vec4f(a.x), k, s0);
      s1 = fma(vec4f(a.y), k, s1);
      s2 = fma(vec4f(a.z), k, s2);
      s3 = fma(vec4f(a.w), k, s3);
      if (TALL) {
        let b = rowTile[c * ROW_STRIDE + m + 1u];
        s4 = fma(vec4f(b.x), k, s4);
        s5 = fma(vec4f(b.y), k, s5);
        s6 = fma(vec4f(b.z), k, s6);
        s7 = fma(vec4f(b.w), k, s7);
      }
    }
  }
}
