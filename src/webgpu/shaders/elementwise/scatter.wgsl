//! params ScatterParams
//! extra items: u32
//! use group
// Rows back at chosen tokens, the opposite of gather: o[token_i] = x_i. Tokens that are not chosen stay as they are.
//
//   x     f32 [items, H, d]   contiguous
//   rows  i32 [items, 2]      token batch * T + t of each row, no token twice, and a number that is not read
//   o     f32 [B, T, H, d]    any strides, last axis contiguous; must not alias x
//
// Thread: one piece; wide memory takes rows that are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let d = u32(p.d) / PIECE;
  let i = groupIndex(wg, grid) * 256u + t;
  let row = i / d;
  let item = row / u32(p.heads);
  if (item >= p.items) { return; }
  let c = i32((i - row * d) * PIECE);
  let h = i32(row - item * u32(p.heads));
  let token = loadI(p.rows + item * 8u);
  let batch = token / p.length;
  let time = token - batch * p.length;
  let to = u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH + c) * 4u;
  storePiece(p.o + to, loadPiece(p.x + i * PIECE * 4u));
}
