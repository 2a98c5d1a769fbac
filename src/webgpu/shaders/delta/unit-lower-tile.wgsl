// Forward substitution by tiles of 16 rows, x_i = b_i - sum_{j < i} a_ij x_j, four rows of a column at a time.

const TILE = 16u;

// [16][16]: a tile of a, by columns
var<workgroup> tile: array<vec4f, TILE * TILE / 4u>;

// Four rows by their own block: columns 4 block to 4 block + 2 of the tile.
fn within(block: u32, given: vec4f) -> vec4f {
  let a = tile[block * 17u];
  let b = tile[block * 17u + 4u];
  var y = given;
  y.y -= a.y * y.x;
  y.z -= a.z * y.x + b.z * y.y;
  y.w -= a.w * y.x + b.w * y.y + tile[block * 17u + 8u].w * y.z;
  return y;
}

// What rows 4 block to 4 block + 3 take with four columns of the tile.
fn behind(block: u32, column: u32, x: vec4f) -> vec4f {
  let at = column * 4u + block;
  return tile[at] * x.x + tile[at + 4u] * x.y + tile[at + 8u] * x.z + tile[at + 12u] * x.w;
}

// Sixteen rows by a tile that lies on the diagonal.
fn solveTile(s: array<vec4f, 4>) -> array<vec4f, 4> {
  let x0 = within(0u, s[0]);
  let x1 = within(1u, s[1] - behind(1u, 0u, x0));
  let x2 = within(2u, s[2] - behind(2u, 0u, x0) - behind(2u, 4u, x1));
  let x3 = within(3u, s[3] - behind(3u, 0u, x0) - behind(3u, 4u, x1) - behind(3u, 8u, x2));
  return array<vec4f, 4>(x0, x1, x2, x3);
}
