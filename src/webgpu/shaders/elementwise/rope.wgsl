//! params RopeParams
//! extra items: u32, half: u32, rest: u32
//! use group
// Rotary position embedding of the first `rotated` elements of each head, element i with i + rotated / 2; the others are copied.
//
//   x         f32 [B, T, H, d]            any strides, last axis contiguous
//   cos, sin  f32 [B|1, rows, rotated/2]  angle of each position and pair
//   o         f32 [B, T, H, d]            may be x
//
// Su 2021. Thread: a piece of pairs, half = rotated / 2 of them a head, or a piece of the `rest` elements that are copied, none where o
// is x. Wide memory takes rows, halves and angles that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let each = (p.half + p.rest) / PIECE;
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / each;
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = (i - row * each) * PIECE;
  let h = i32(row - item * u32(p.heads));
  let batch = i32(item) / p.length;
  let time = i32(item) - batch * p.length;
  let x = p.x + u32(batch * p.xStrideB + time * p.xStrideT + h * p.xStrideH) * 4u;
  let o = p.o + u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH) * 4u;
  if (c >= p.half) {
    let at = (c + p.half) * 4u;
    storePiece(o + at, loadPiece(x + at));
    return;
  }
  var position = time;
  if (p.positions != 0u) { position = loadI(p.positions + u32(batch * p.positionsStrideB + time) * 4u); }
  let angle = (u32(batch * p.angleStrideB + position * p.angleStrideT) + c) * 4u;
  let cosine = loadPiece(p.cos + angle);
  let sine = loadPiece(p.sin + angle);
  let first = c * 4u;
  let second = (c + p.half) * 4u;
  let a = loadPiece(x + first);
  let b = loadPiece(x + second);
  storePiece(o + first, a * cosine - b * sine);
  storePiece(o + second, b * cosine + a * sine);
}
