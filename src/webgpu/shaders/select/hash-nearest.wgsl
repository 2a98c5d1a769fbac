//! params HashParams
//! use group, storage, token-rows, best-column
//! extra rowTiles: u32
// Hashes of rows by random directions: the nearest, or opposite, one.
//
//   x       f32, f16, bf16 or i8 [B, T, H, d]     any strides, last axis contiguous
//   planes  f32 [H, d, rounds, directions]        any strides (0 repeats), last axis contiguous
//   labels  i32 [B, H * rounds, T]                contiguous
//
//   y = x planes; label = argmax [y, -y], the first of equals (Kitaev 2020).
//
// Workgroup: a tile of rows of one (batch, head, round).

var<private> ownPlanes: i32;
var<private> columnsLeft: u32;

fn columnElement(column: u32, c: u32) -> f32 {
  if (column >= columnsLeft || c >= tileDepth()) { return 0.0; }
  return loadF(p.planes + u32(ownPlanes + i32(c) * p.planesStrideD + i32(column)) * 4u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let g = groupIndex(wg, grid);
  if (g >= p.groups) { return; }
  let tile = g / p.rowTiles;
  let r0 = (g - tile * p.rowTiles) * TILE_ROWS;
  let list = i32(tile) / p.rounds;
  let round = i32(tile) - list * p.rounds;
  let head = list % p.heads;
  beginRows(list, r0);
  clearBest();
  for (var j0 = 0; j0 < p.directions; j0 += i32(TILE_COLUMNS)) {
    ownPlanes = head * p.planesStrideH + round * p.planesStrideR + j0;
    columnsLeft = u32(p.directions - j0);
    tileProduct(t);
    @unroll for (var e = 0u; e < 4u; e++) {
      let n = (t & 15u) + e * 16u;
      if (n < columnsLeft) {
        offerColumn(e, u32(j0) + n, 1.0, 0.0);
        offerColumn(e, u32(p.directions + j0) + n, -1.0, 0.0);
      }
    }
  }
  storeBest(t, p.labels + (tile * u32(p.length) + r0) * 4u);
}
