//! params ScoreMapParams
//! use group, storage, map-rows, score-tile
//! const Q_TYPE
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

var<private> queries: u32;
var<private> rowsLeft: u32;
var<private> panels: u32;
var<private> columnsLeft: u32;
var<private> weightsAt: u32;
var<private> m0: vec4f;
var<private> m1: vec4f;
var<private> m2: vec4f;
var<private> m3: vec4f;
var<private> m4: vec4f;
var<private> m5: vec4f;
var<private> m6: vec4f;
var<private> m7: vec4f;

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= u32(p.d)) { return 0.0; }
  return loadAs(i32(Q_TYPE), p.q, i32(queries + row * u32(p.qStrideT) + c)) * p.scale;
}

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= u32(p.d)) { return 0.0; }
  return loadF(panels + (((column >> 3u) * u32(p.d) + c) * 8u + (column & 7u)) * 4u);
}

fn weightOf(row: u32) -> f32 {
  if (row >= rowsLeft) { return 0.0; }
  return loadF(weightsAt + row * u32(p.weightsStrideT) * 4u);
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
  let batch = i32(tile / p.rowTiles);
  let r0 = (tile % p.rowTiles) * TILE_ROWS;
  rowsLeft = u32(p.rows) - r0;
  let last = min(r0 + TILE_ROWS, u32(p.rows)) - 1u;
  if (i32(j0) >= max(visibleColumns(i32(r0)), visibleColumns(i32(last)))) { return; }
  let packed = (p.columns + 7) / 8;
  columnsLeft = u32(p.columns) - j0;
  let row = tileRow(t);
  let zero = vec4f();
  for (var head = 0; head < p.heads; head += 1) {
    queries = u32(batch * p.qStrideB + head * p.qStrideH) + r0 * u32(p.qStrideT);
    let first = (batch * (p.heads / p.group) + head / p.group) * packed + i32(j0 / 8u);
    panels = p.kPack + u32(first * p.d) * 32u;
    weightsAt = p.weights + (u32(batch * p.weightsStrideB + head * p.weightsStrideH) + r0 * u32(p.weightsStrideT)) * 4u;
    tileProduct(t, u32(p.d));
    m0 = fma(vec4f(weightOf(row)), max(s0, zero), m0);
    m1 = fma(vec4f(weightOf(row + 1u)), max(s1, zero), m1);
    m2 = fma(vec4f(weightOf(row + 2u)), max(s2, zero), m2);
    m3 = fma(vec4f(weightOf(row + 3u)), max(s3, zero), m3);
    if (TALL) {
      m4 = fma(vec4f(weightOf(row + 4u)), max(s4, zero), m4);
      m5 = fma(vec4f(weightOf(row + 5u)), max(s5, zero), m5);
      m6 = fma(vec4f(weightOf(row + 6u)), max(s6, zero), m6);
      m7 = fma(vec4f(weightOf(row + 7u)), max(s7, zero), m7);
    }
  }
  let n = t & 15u;
  let at = mapRow(batch, i32(r0)) + (j0 + n) * 4u;
  storeScores(at, row, n, m0);
  storeScores(at, row + 1u, n, m1);
  storeScores(at, row + 2u, n, m2);
  storeScores(at, row + 3u, n, m3);
  if (TALL) {
    storeScores(at, row + 4u, n, m4);
    storeScores(at, row + 5u, n, m5);
    storeScores(at, row + 6u, n, m6);
    storeScores(at, row + 7u, n, m7);
  }
}
