//! params RopeParams
//! extra items: u32, half: u32, rest: u32
//! use group
// As rope, for pairs of neighbours.
//
// Thread: a pair, or one of the elements that are copied.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let each = (p.half + p.rest);
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / each;
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = (i - row * each);
  let h = i32(row - item * u32(p.heads));
  let batch = i32(item) / p.length;
  let time = i32(item) - batch * p.length;
  let x = p.x + u32(batch * p.xStrideB + time * p.xStrideT + h * p.xStrideH) * 4u;
  let o = p.o + u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH) * 4u;
  if (c >= p.half) {
    let at = (c + p.half) * 4u;
    storeF(o + at, loadF(x + at));
    return;
  }
  var position = time;
  if (p.positions != 0u) { position = loadI(p.positions + u32(batch * p.positionsStrideB + time) * 4u); }
  let angle = (u32(batch * p.angleStrideB + position * p.angleStrideT) + c) * 4u;
  let cosine = loadF(p.cos + angle);
  let sine = loadF(p.sin + angle);
  let a = loadF(x + c * 8u);
  let b = loadF(x + c * 8u + 4u);
  storeF(o + c * 8u, a * cosine - b * sine);
  storeF(o + c * 8u + 4u, b * cosine + a * sine);
}
