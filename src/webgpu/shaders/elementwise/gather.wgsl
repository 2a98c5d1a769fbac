//! params GatherParams
//! extra items: u32
//! use group, storage, element-place
// Rows of chosen tokens, widened: o_i = x[token_i, memory_i].
//
//   x     f32, f16 or bf16 [B, T, M, H, d]   any strides (0 repeats), last axis contiguous
//   rows  i32 [items, 2]                     token batch * T + t and memory of each row
//   o     f32 [items, H, d]                  contiguous; must not alias x
//
// Thread: one piece; wide memory takes f32 whose rows are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = groupIndex(wg, grid) * 256u + t;
  let at = placeOf(i, u32(p.d) / PIECE);
  if (at.item >= p.items) { return; }
  let memory = loadI(p.rows + at.item * 8u + 4u);
  let source = offsetOf(atToken(at, loadI(p.rows + at.item * 8u)), p.xStrideB, p.xStrideT, p.xStrideH) + memory * p.xStrideM;
  let to = p.o + i * PIECE * 4u;
  if (PIECE == 4u) { storePiece(to, loadPiece(p.x + u32(source) * 4u)); } else { storePiece(to, Piece(loadAs(p.xType, p.x, source))); }
}
