//! params ScoreMapParams
//! use group, storage, map-rows, score-tile
//! const Q_TYPE
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

var<private> queries: u32;
var<private> rowsLeft: u32;
var<private> panels: u32;
var<private> columnsLeft: u32;
var<workgroup> share: f32;

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= u32(p.d)) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, i32(queries + row * u32(p.qStrideT) + c)) * p.scale;
}

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= u32(p.d)) { return 0.0; }
  return loadF(panels + (((column >> 3u) * u32(p.d) + c) * 8u + (column & 7u)) * 4u);
}

fn storeScores(at: u32, row: u32, n: u32, s: vec4f) {
  if (row >= rowsLeft) { return; }
  let to = at + row * u32(p.mapStrideR) * 4u;
  if (n < columnsLeft) { storeF(to, s.x); }
  if (n + 16u < columnsLeft) { storeF(to + 64u, s.y); }
  if (n + 32u < columnsLeft) { storeF(to + 128u, s.z); }
  if (n + 48u < columnsLeft) { storeF(to + 192u, s.w); }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.columnTiles;
  let j0 = (g - tile * p.columnTiles) * TILE_COLUMNS;
  let list = tile / p.rowTiles;
  let r0 = (tile - list * p.rowTiles) * TILE_ROWS;
  rowsLeft = u32(p.rows) - r0;
  let last = min(r0 + TILE_ROWS, u32(p.rows)) - 1u;
  // what rows see is linear in their number: one of the two ends sees most
  if (i32(j0) >= max(visibleColumns(i32(r0)), visibleColumns(i32(last)))) { return; }
  let batch = i32(list) / p.lists;
  let head = i32(list) - batch * p.lists;
  if (p.shares != 0u) {
    if (t == 0u) { share = loadF(p.shares + u32(batch * p.sharesStrideB + head) * 4u); }
    if (workgroupUniformLoad(&share) == 0.0) { return; }
  }
  queries = u32(batch * p.qStrideB + head * p.qStrideH) + r0 * u32(p.qStrideT);
  let packed = (p.columns + 7) / 8;
  let first = (batch * (p.heads / p.group) + head / p.group) * packed + i32(j0 / 8u);
  panels = p.kPack + u32(first * p.d) * 32u;
  columnsLeft = u32(p.columns) - j0;
  tileProduct(t, u32(p.d));
  let n = t & 15u;
  let row = tileRow(t);
  let at = mapRow(i32(list), i32(r0)) + (j0 + n) * 4u;
  storeScores(at, row, n, s0);
  storeScores(at, row + 1u, n, s1);
  storeScores(at, row + 2u, n, s2);
  storeScores(at, row + 3u, n, s3);
  if (TALL) {
    storeScores(at, row + 4u, n, s4);
    storeScores(at, row + 5u, n, s5);
    storeScores(at, row + 6u, n, s6);
    storeScores(at, row + 7u, n, s7);
  }
}
