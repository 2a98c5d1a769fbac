//! params CombineParams
//! extra items: u32
//! use group, element-place
// Weighted sums of rows back at their tokens: o_t = sum_e weight_e x[row_e] over the entries of token t, zeros without any.
//
//   x        f32 [rows, H, d]      contiguous
//   offsets  i32 [B * T + 1]       first entry of each token
//   entries  (i32, f32) [entries]  row and weight
//   o        f32 [B, T, H, d]      any strides, last axis contiguous; must not alias x
//
// Thread: one piece of o; wide memory takes rows that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let at = placeOf(groupIndex(wg, grid) * 256u + t, u32(p.d) / PIECE);
  if (at.item >= p.items) { return; }
  let last = loadU(p.offsets + at.item * 4u + 4u);
  var sum = Piece(0.0);
  for (var e = loadU(p.offsets + at.item * 4u); e < last; e++) {
    let source = (loadU(p.entries + e * 8u) * u32(p.heads) + u32(at.head)) * u32(p.d) + u32(at.c);
    sum += loadF(p.entries + e * 8u + 4u) * loadPiece(p.x + source * 4u);
  }
  storePiece(p.o + u32(offsetOf(at, p.oStrideB, p.oStrideT, p.oStrideH)) * 4u, sum);
}
