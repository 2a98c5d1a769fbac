//! params ScatterParams
//! extra items: u32
//! use group, element-place
// Rows back at chosen tokens, the opposite of gather: o[token_i] = x_i. Tokens that are not chosen stay as they are.
//
//   x     f32 [items, H, d]   contiguous
//   rows  i32 [items, 2]      token batch * T + t of each row, no token twice, and a number that is not read
//   o     f32 [B, T, H, d]    any strides, last axis contiguous; must not alias x
//
// Thread: one piece; wide memory takes rows that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let at = placeOf(i, u32(p.d) / PIECE);
  if (at.item >= p.items) { return; }
  let to = offsetOf(atToken(at, loadI(p.rows + at.item * 8u)), p.oStrideB, p.oStrideT, p.oStrideH);
  storePiece(p.o + u32(to) * 4u, loadPiece(p.x + i * PIECE * 4u));
}
