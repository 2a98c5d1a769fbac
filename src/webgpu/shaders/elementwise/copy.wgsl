//! params CopyParams
//! extra items: u32
//! use group, storage, element-place
// Copies rows between layouts, widening 16-bit floats.
//
//   x  [B, T, H, d]      f32, f16, bf16 or i8; any strides (0 repeats), last axis contiguous
//   o  f32 [B, T, H, d]  any strides, last axis contiguous; must not alias x
//
// Thread: one piece; wide memory takes f32 whose rows are whole vectors.

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) t: u32) {
  let at = placeOf(groupIndex(wg, grid) * 256u + t, u32(p.d) / PIECE);
  if (at.item >= p.items) { return; }
  let source = offsetOf(at, p.xStrideB, p.xStrideT, p.xStrideH);
  let to = p.o + u32(offsetOf(at, p.oStrideB, p.oStrideT, p.oStrideH)) * 4u;
  if (PIECE == 4u) { storePiece(to, loadPiece(p.x + u32(source) * 4u)); } else { storePiece(to, Piece(loadAs(p.xType, p.x, source))); }
}
