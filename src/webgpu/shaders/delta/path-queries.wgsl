//! params PathBlocksParams
//! extra first: i32, count: i32, scratch: u32
//! use group, path-scratch
// Queries carried to their block's start and scores within it: [q | q k^T] + tril(q w^T) [X | Z].
//
//   qCarried  f32 [Hq, blocks][dk][64]     turned, in log2 units
//   local     f32 [Hq, blocks][64][64]     holds q k^T
//
// Workgroup: one block of one head and 64 columns of the result; thread: 4 x 4.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = groupIndex(wg, grid);
  if (group >= p.groups) { return; }
  let wide = width4();
  let columns = wide + 64u;
  let strips = (columns + 63u) / 64u;
  let i = group / strips;
  let c = (group - i * strips) * 64u + (t % 16u) * 4u;
  if (c >= columns) { return; }
  let head = headOf(i);
  let kv = u32((head / p.group) * p.count) + i % u32(p.count);
  let place = u32(head * p.blocks + blockOf(i));
  let own = c >= wide;
  let row = (t / 16u) * 4u;
  let given = select(qTile(i) + row * wide * 4u + c * 4u, p.local + place * 16384u + row * 256u + (c - wide) * 4u, own);
  let step = select(wide * 4u, 256u, own);
  var x0 = loadF4(given);
  var x1 = loadF4(given + step);
  var x2 = loadF4(given + 2u * step);
  var x3 = loadF4(given + 3u * step);
  let left = overlapTile(headsOfKeys() + i) + row * 256u;
  let right = xzTile(kv) + c * 4u;
  for (var r = 0u; r < row + 4u; r += 4u) {
    let y = mat4x4f(loadF4(right + r * xzRow()), loadF4(right + (r + 1u) * xzRow()), loadF4(right + (r + 2u) * xzRow()), loadF4(right + (r + 3u) * xzRow()));
    x0 += y * loadF4(left + r * 4u);
    x1 += y * loadF4(left + 256u + r * 4u);
    x2 += y * loadF4(left + 512u + r * 4u);
    x3 += y * loadF4(left + 768u + r * 4u);
  }
  if (own) {
    storeF4(given, x0);
    storeF4(given + 256u, x1);
    storeF4(given + 512u, x2);
    storeF4(given + 768u, x3);
    return;
  }
  let to = p.qCarried + place * u32(p.dk) * 256u + c * 256u + row * 4u;
  let rows = u32(p.dk) - c;
  storeF4(to, vec4f(x0.x, x1.x, x2.x, x3.x));
  if (rows > 1u) { storeF4(to + 256u, vec4f(x0.y, x1.y, x2.y, x3.y)); }
  if (rows > 2u) { storeF4(to + 512u, vec4f(x0.z, x1.z, x2.z, x3.z)); }
  if (rows > 3u) { storeF4(to + 768u, vec4f(x0.w, x1.w, x2.w, x3.w)); }
}
