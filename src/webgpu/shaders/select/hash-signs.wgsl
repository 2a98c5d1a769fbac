//! params HashParams
//! use group, storage, token-rows, score-tile
//! extra rowTiles: u32, columnTiles: u32, space: u32
// Signs of the products of rows with the directions of all rounds.
//
//   x       f32, f16, bf16 or i8 [B, T, H, d]     any strides, last axis contiguous
//   planes  f32 [H, d, rounds, directions]        any strides (0 repeats), last axis contiguous
//   space   u32 [B, H, T, words]                  bit j of a row: its product with direction j of all is above 0
//
// Workgroup: a tile of rows and 64 directions of one (batch, head).

var<private> ownPlanes: i32;
var<private> firstColumn: i32;
var<workgroup> signs: array<atomic<u32>, 256>;

fn columnElement(column: u32, c: u32) -> f32 {
  let n = firstColumn + i32(column);
  let round = n / p.directions;
  if (round >= p.rounds || c >= tileDepth()) { return 0.0; }
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
  beginRows(i32(list), r0);
  ownPlanes = i32(list) % p.heads * p.planesStrideH;
  firstColumn = i32(columnTile_ * TILE_COLUMNS);
  atomicStore(&signs[t], 0u);
  tileProduct(t);
  @unroll for (var r = 0u; r < ROWS; r++) { noteSigns(tileRow(t) + r, t & 15u, products[r]); }
  workgroupBarrier();
  if (t / 2u >= min(rowsLeft, TILE_ROWS)) { return; }
  let to = (list * u32(p.length) + r0 + t / 2u) * (p.columnTiles * 2u) + columnTile_ * 2u + (t & 1u);
  storeU(p.space + to * 4u, atomicLoad(&signs[t]));
}
