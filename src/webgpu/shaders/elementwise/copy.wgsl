//! params CopyParams
//! extra items: u32
//! use group, storage
// Copies rows between layouts, widening 16-bit floats.
//
//   x  [B, T, H, d]      f32, f16, bf16 or i8; any strides (0 repeats), last axis contiguous
//   o  f32 [B, T, H, d]  any strides, last axis contiguous; must not alias x
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
  let batch = i32(item) / p.length;
  let time = i32(item) - batch * p.length;
  let source = batch * p.xStrideB + time * p.xStrideT + h * p.xStrideH + c;
  let to = p.o + u32(batch * p.oStrideB + time * p.oStrideT + h * p.oStrideH + c) * 4u;
  if (PIECE == 4u) { storePiece(to, loadPiece(p.x + u32(source) * 4u)); } else { storePiece(to, Piece(loadAs(p.xType, p.x, source))); }
}
