//! params HashParams
//! use group, storage, score-tile
//! const X_TYPE
//! extra rowTiles: u32, columnTiles: u32, space: u32
// Signs of the products of rows with the directions of all rounds.
//
//   x       f32, f16, bf16 or i8 [B, T, H, d]     any strides, last axis contiguous
//   planes  f32 [H, d, rounds, directions]        any strides (0 repeats), last axis contiguous
//   space   u32 [B, H, T, words]                  bit j of a row: its product with direction j of all is above 0
//
// Workgroup: a tile of rows and 64 directions of one (batch, head).

var<private> ownRows: i32;
var<private> rowsLeft: u32;
var<private> ownPlanes: i32;
var<private> firstColumn: i32;
var<workgroup> signs: array<atomic<u32>, 256>;

fn rowElement(row: u32, c: u32) -> f32 {
  if (row >= rowsLeft || c >= u32(p.d)) { return 0.0; }
  return loadAs(i32(X_TYPE), p.x, ownRows + i32(row) * p.xStrideT + i32(c));
}

fn columnElement(column: u32, c: u32) -> f32 {
  let n = firstColumn + i32(column);
  let round = n / p.directions;
  if (round >= p.rounds || c >= u32(p.d)) { return 0.0; }
  return loadF(p.planes + u32(ownPlanes + i32(c) * p.planesStrideD + round * p.planesStrideR + n - round * p.directions) * 4u);
}

fn noteSigns(row: u32, n: u32, s: vec4f) {
  let low = select(0u, 1u << n, s.x > 0.0) | select(0u, 1u << (n + 16u), s.y > 0.0);
  let high = select(0u, 1u << n, s.z > 0.0) | select(0u, 1u << (n + 16u), s.w > 0.0);
  atomicOr(&signs[row * 2u], low);
  atomicOr(&signs[row * 2u + 1u], high);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.columnTiles;
  let columnTile_ = g - tile * p.columnTiles;
  let list = tile / p.rowTiles;
  let r0 = (tile - list * p.rowTiles) * TILE_ROWS;
  let batch = i32(list) / p.heads;
  let head = i32(list) - batch * p.heads;
  rowsLeft = u32(p.length) - r0;
  ownRows = batch * p.xStrideB + head * p.xStrideH + i32(r0) * p.xStrideT;
  ownPlanes = head * p.planesStrideH;
  firstColumn = i32(columnTile_ * TILE_COLUMNS);
  atomicStore(&signs[t], 0u);
  tileProduct(t, u32(p.d));
  let row = tileRow(t);
  let n = t & 15u;
  noteSigns(row, n, s0);
  noteSigns(row + 1u, n, s1);
  noteSigns(row + 2u, n, s2);
  noteSigns(row + 3u, n, s3);
  if (TALL) {
    noteSigns(row + 4u, n, s4);
    noteSigns(row + 5u, n, s5);
    noteSigns(row + 6u, n, s6);
    noteSigns(row + 7u, n, s7);
  }
  workgroupBarrier();
  if (t / 2u >= min(rowsLeft, TILE_ROWS)) { return; }
  let to = (list * u32(p.length) + r0 + t / 2u) * (p.columnTiles * 2u) + columnTile_ * 2u + (t & 1u);
  storeU(p.space + to * 4u, atomicLoad(&signs[t]));
}
