//! params RopeParams
//! extra items: u32, half: u32, rest: u32
//! use group, element-place
//! const NEIGHBOURS
// Rotary position embedding of the first `rotated` elements of each head, element i with i + rotated / 2 or (NEIGHBOURS) 2 i with 2 i + 1;
// the others are copied.
//
//   x         f32 [B, T, H, d]            any strides, last axis contiguous
//   cos, sin  f32 [B|1, rows, rotated/2]  angle of each position and pair
//   o         f32 [B, T, H, d]            may be x
//
// Su 2021. Thread: a piece of pairs, half = rotated / 2 of them a head, or a piece of the `rest` elements that are copied, none where o
// is x. Wide memory takes rows, halves and angles that are whole vectors, and no neighbours.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let at = placeOf(groupIndex(wg, grid) * 256u + t, (p.half + p.rest) / PIECE);
  if (at.item >= p.items) { return; }
  let c = u32(at.c);
  let x = p.x + u32(rowOf(at, p.xStrideB, p.xStrideT, p.xStrideH)) * 4u;
  let o = p.o + u32(rowOf(at, p.oStrideB, p.oStrideT, p.oStrideH)) * 4u;
  if (c >= p.half) {
    let rest = (c + p.half) * 4u;
    storePiece(o + rest, loadPiece(x + rest));
    return;
  }
  var position = at.time;
  if (p.positions != 0u) { position = loadI(p.positions + u32(at.batch * p.positionsStrideB + at.time) * 4u); }
  let angle = (u32(at.batch * p.angleStrideB + position * p.angleStrideT) + c) * 4u;
  let cosine = loadPiece(p.cos + angle);
  let sine = loadPiece(p.sin + angle);
  let first = c * select(4u, 8u, NEIGHBOURS);
  let second = first + select(p.half * 4u, 4u, NEIGHBOURS);
  let a = loadPiece(x + first);
  let b = loadPiece(x + second);
  storePiece(o + first, a * cosine - b * sine);
  storePiece(o + second, b * cosine + a * sine);
}
