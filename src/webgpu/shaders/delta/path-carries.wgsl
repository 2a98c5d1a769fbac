//! params PathBlocksParams
//! extra first: i32, count: i32, scratch: u32
//! use group, path-scratch
// What a block does with what comes to it, and its keys carried to its end: [carryBlock | kBlock] = [I | k^T] + w^T [X | Z].
//
//   carryBlock  f32 [Hkv, blocks][dk][dk4]   q times it is q carried to the block's start
//   kBlock      f32 [Hkv, blocks][dk][64]
//
// Workgroup: one block of one head and 64 columns of the result, 64 rows at a time; thread: 4 x 4.

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
  let place = u32(headOf(i) * p.blocks + blockOf(i));
  let keys = c >= wide;
  let right = xzTile(i) + c * 4u;
  for (var d = (t / 16u) * 4u; d < u32(p.dk); d += 64u) {
    let left = wTile(i) + d * 4u;
    var x0 = vec4f();
    var x1 = vec4f();
    var x2 = vec4f();
    var x3 = vec4f();
    if (keys) {
      let k = kTile(i) + (c - wide) * wide * 4u + d * 4u;
      let k0 = loadF4(k);
      let k1 = loadF4(k + wide * 4u);
      let k2 = loadF4(k + wide * 8u);
      let k3 = loadF4(k + wide * 12u);
      x0 = vec4f(k0.x, k1.x, k2.x, k3.x);
      x1 = vec4f(k0.y, k1.y, k2.y, k3.y);
      x2 = vec4f(k0.z, k1.z, k2.z, k3.z);
      x3 = vec4f(k0.w, k1.w, k2.w, k3.w);
    } else if (c == d) {
      x0 = vec4f(1.0, 0.0, 0.0, 0.0);
      x1 = vec4f(0.0, 1.0, 0.0, 0.0);
      x2 = vec4f(0.0, 0.0, 1.0, 0.0);
      x3 = vec4f(0.0, 0.0, 0.0, 1.0);
    }
    for (var r = 0u; r < 64u; r += 1u) {
      let w = loadF4(left + r * wide * 4u);
      let y = loadF4(right + r * xzRow());
      x0 += y * w.x;
      x1 += y * w.y;
      x2 += y * w.z;
      x3 += y * w.w;
    }
    let to = select(p.carryBlock + place * u32(p.dk) * ((u32(p.dk) + 7u) & ~7u) * 4u + d * wide * 4u + c * 4u,
      p.kBlock + place * u32(p.dk) * 256u + d * 256u + (c - wide) * 4u, keys);
    let step = select(wide * 4u, 256u, keys);
    let rows = u32(p.dk) - d;
    storeF4(to, x0);
    if (rows > 1u) { storeF4(to + step, x1); }
    if (rows > 2u) { storeF4(to + 2u * step, x2); }
    if (rows > 3u) { storeF4(to + 3u * step, x3); }
  }
}
