//! params PathBlocksParams
//! extra first: i32, count: i32, scratch: u32
//! use group, path-scratch
// Products of a block's rows with each other: of x = -beta w, or of the queries q of a head,
//
//   x w^T, x k^T below the diagonal: the systems and Z's right sides;  q w^T up to the diagonal, q k^T: local
//
// Workgroup: one block of one head of keys, then of queries; thread: 4 x 4 of each product.

fn keep(r: u32, c: u32, x: vec4f, below: u32) -> vec4f {
  // column c + e of row r stays where it is below the diagonal, by `below` at least
  return select(vec4f(), x, vec4u(c, c + 1u, c + 2u, c + 3u) + vec4u(below) <= vec4u(r));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let tile = groupIndex(wg, grid);
  if (tile >= p.groups) { return; }
  let queries = tile >= headsOfKeys();
  let i = select(tile, tile - headsOfKeys(), queries);
  let head = headOf(i);
  let keys = select(i, u32((head / p.group) * p.count) + i % u32(p.count), queries);
  let left = select(xzTile(i), qTile(i), queries);
  let leftRow = select(xzRow(), width4() * 4u, queries);
  let r = (t / 16u) * 4u;
  let c = (t % 16u) * 4u;
  let row = width4() * 4u;
  let w = wTile(keys) + c * row;
  let k = kTile(keys) + c * row;
  let x = left + r * leftRow;
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  for (var d = 0u; d < row; d += 16u) {
    let x0 = loadF4(x + d);
    let x1 = loadF4(x + leftRow + d);
    let x2 = loadF4(x + 2u * leftRow + d);
    let x3 = loadF4(x + 3u * leftRow + d);
    let y = mat4x4f(loadF4(w + d), loadF4(w + row + d), loadF4(w + 2u * row + d), loadF4(w + 3u * row + d));
    a0 += x0 * y;
    a1 += x1 * y;
    a2 += x2 * y;
    a3 += x3 * y;
    let z = mat4x4f(loadF4(k + d), loadF4(k + row + d), loadF4(k + 2u * row + d), loadF4(k + 3u * row + d));
    b0 += x0 * z;
    b1 += x1 * z;
    b2 += x2 * z;
    b3 += x3 * z;
  }
  let below = select(1u, 0u, queries);
  let a = overlapTile(tile) + r * 256u + c * 4u;
  storeF4(a, keep(r, c, a0, below));
  storeF4(a + 256u, keep(r + 1u, c, a1, below));
  storeF4(a + 512u, keep(r + 2u, c, a2, below));
  storeF4(a + 768u, keep(r + 3u, c, a3, below));
  let place = u32(head * p.blocks + blockOf(i));
  let b = select(xzTile(i) + r * xzRow() + row + c * 4u, p.local + place * 16384u + r * 256u + c * 4u, queries);
  let bRow = select(xzRow(), 256u, queries);
  storeF4(b, keep(r, c, b0, below));
  storeF4(b + bRow, keep(r + 1u, c, b1, below));
  storeF4(b + 2u * bRow, keep(r + 2u, c, b2, below));
  storeF4(b + 3u * bRow, keep(r + 3u, c, b3, below));
}
