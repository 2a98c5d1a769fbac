//! params GatherParams
//! extra items: u32
//! use group, storage
// Rows of chosen tokens, widened: o_i = x[token_i, memory_i].
//
//   x     f32, f16 or bf16 [B, T, M, H, d]   any strides (0 repeats), last axis contiguous
//   rows  i32 [items, 2]                     token batch * T + t and memory of each row
//   o     f32 [items, H, d]                  contiguous; must not alias x
//
// Thread: one piece; wide memory takes f32 whose rows are whole vectors.

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
  let memory = loadI(p.rows + item * 8u + 4u);
  let batch = token / p.length;
  let time = token - batch * p.length;
  let source = batch * p.xStrideB + time * p.xStrideT + memory * p.xStrideM + h * p.xStrideH + c;
  let to = p.o + i * PIECE * 4u;
  if (PIECE == 4u) { storePiece(to, loadPiece(p.x + u32(source) * 4u)); } else { storePiece(to, Piece(loadAs(p.xType, p.x, source))); }
}
